"""A way to a real engine on which some requests fail: for what a real engine can't be made to do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

REFUSAL = b'{"message": "not today"}'


@dataclass
class FaultyEngine:
    """Passes on requests, but for those whose first line one of these says so of."""

    url: str
    fails: Callable[[str], bool] = lambda line: False
    """Answered with 500, and not passed on."""
    belies: Callable[[str], bool] = lambda line: False
    """Passed on, so that they have their effect, and answered with 500 all the same."""
    hangs: Callable[[str], bool] = lambda line: False
    """Never answered, and not passed on. Whoever waits for it has to give up."""


@asynccontextmanager
async def faulty_engine(folder: Path, engine_url: str) -> AsyncIterator[FaultyEngine]:
    """Serve in `folder` until the end of the block; the engine is on a Unix socket."""
    path = folder / "faulty.sock"
    faulty = FaultyEngine(f"unix://{path}")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            line = head.partition(b"\r\n")[0].decode()
            if faulty.hangs(line):
                await reader.read()  # to its end, which comes when the caller has given up
            elif faulty.fails(line):
                await _refuse(writer)
            elif faulty.belies(line):
                await _pass_on(head, reader, None, engine_url)
                await _refuse(writer)
            else:
                await _pass_on(head, reader, writer, engine_url)
        writer.close()

    connections: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(asyncio.create_task(serve(reader, writer)))

    server = await asyncio.start_unix_server(connected, path)
    try:
        yield faulty
    finally:
        server.close()
        # The daemon has ended, and with it its side of each connection.
        await asyncio.gather(*connections)


async def _refuse(writer: asyncio.StreamWriter) -> None:
    writer.write(
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(REFUSAL), REFUSAL)
    )
    await writer.drain()


async def _pass_on(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, engine_url: str
) -> None:
    """Pass on a request and, to `writer` if there is one, its answer."""
    to_engine_reader, to_engine = await asyncio.open_unix_connection(engine_url.removeprefix("unix://"))
    if b"Upgrade:" not in head:
        # One request a connection, so that the next one is looked at, too.
        head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    to_engine.write(head)
    requests = asyncio.create_task(_copy(reader, to_engine))
    await _copy(to_engine_reader, writer)
    requests.cancel()
    await asyncio.wait({requests})
    to_engine.close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter | None) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            if target is not None:
                target.write(data)
                await target.drain()
        if target is not None and target.can_write_eof():
            target.write_eof()
