"""A way to a real engine on which some requests fail: for what a real engine can't be made to do."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

REFUSAL = b'{"message": "not today"}'


@dataclass
class FaultyEngine:
    """Answers 500 to every request whose first line `fails` says so of; passes on all others."""

    url: str
    fails: Callable[[str], bool] = lambda line: False


@asynccontextmanager
async def faulty_engine(folder: Path, engine_url: str) -> AsyncIterator[FaultyEngine]:
    """Serve in `folder` until the end of the block; the engine is on a Unix socket."""
    path = folder / "faulty.sock"
    faulty = FaultyEngine(f"unix://{path}")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            if faulty.fails(head.partition(b"\r\n")[0].decode()):
                writer.write(_refusal())
                await writer.drain()
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


def _refusal() -> bytes:
    return (
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(REFUSAL), REFUSAL)
    )


async def _pass_on(
    head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, engine_url: str
) -> None:
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


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
        if target.can_write_eof():
            target.write_eof()
