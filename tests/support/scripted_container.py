"""A container that writes what a test says: what the engine's log has of it, and what live streams have."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from datetime import timedelta

from released.engine.attachment import Chunk
from released.engine.container_log import LoggedChunk
from released.model.states import Stream

OUT, ERR = Stream.STDOUT, Stream.STDERR
NONCE = "0123456789abcdef0123456789abcdef"

Written = Sequence[Chunk]


def mark(words: str) -> list[Chunk]:
    """A marker, as the supervisor writes it: to both streams."""
    line = f"\x1e{NONCE} {words}\n".encode()
    return [Chunk(OUT, line), Chunk(ERR, line)]


def out(*pieces: bytes) -> list[Chunk]:
    return [Chunk(OUT, piece) for piece in pieces]


def err(*pieces: bytes) -> list[Chunk]:
    return [Chunk(ERR, piece) for piece in pieces]


def frames(written: Written) -> tuple[list[Chunk], list[Chunk]]:
    """What the engine's log has of it: lines, as they are completed, and at the container's end the rest."""
    lines: list[Chunk] = []
    open_lines: defaultdict[Stream, bytes] = defaultdict(bytes)
    for stream, data in written:
        *complete, open_lines[stream] = (open_lines[stream] + data).split(b"\n")
        lines += [Chunk(stream, line + b"\n") for line in complete]
    return lines, [Chunk(stream, rest) for stream, rest in open_lines.items() if rest]


class ScriptedEngine:
    """An engine whose log of the container grows with every reading, as the test says."""

    def __init__(self, written: Written, lengths: Iterable[int] = ()) -> None:
        self.lines, self.rest = frames(written)
        self.lengths = iter(lengths)
        self.error: Exception | None = None
        self.log_read = 0
        self.has_ended = asyncio.Event()
        self.inspected = False

    async def read_log(self, container_id: str) -> AsyncGenerator[LoggedChunk, None]:
        """Yield a snapshot; neighbours of a stream come together, but not each time the same ones."""
        self.log_read += 1
        lines = self.lines[: next(self.lengths, len(self.lines))]
        if self.inspected:
            lines = self.lines + self.rest
        together = 1 + self.log_read % 3
        for start in range(0, len(lines), together):
            for stream in Stream:
                data = b"".join(
                    line.data for line in lines[start : start + together] if line.stream == stream
                )
                if data:
                    yield LoggedChunk(stream, data, "2026-01-01T00:00:00Z")
        if self.error:
            raise self.error

    async def await_end(self, container_id: str) -> None:
        await self.has_ended.wait()

    async def inspect_ended(self, container_id: str, within: timedelta) -> None:
        self.inspected = True


class ScriptedAttachment:
    """An attachment whose live streams the test writes."""

    def __init__(self, live: Written = (), end: Exception | None = None) -> None:
        self.coming: asyncio.Queue[Chunk | Exception | None] = asyncio.Queue()
        self.written: list[bytes] = []
        for chunk in live:
            self.coming.put_nowait(chunk)
        self.coming.put_nowait(end)

    async def chunks(self) -> AsyncIterator[Chunk]:
        while chunk := await self.coming.get():
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk

    async def write(self, data: bytes) -> None:
        self.written.append(data)
