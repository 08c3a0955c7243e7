"""Where a container's output comes from: what a session reads, and a container's live streams."""

import asyncio
from collections.abc import AsyncGenerator
from typing import NamedTuple, Protocol

from released.engine.attachment import Attachment
from released.engine.errors import EngineUnreachable
from released.model.states import Stream
from released.release.markers import Marker, MarkerParser


class Item(NamedTuple):
    """Output or a marker; `logged` is when the engine read it if it comes from its log, else empty."""

    stream: Stream
    content: bytes | Marker
    logged: str = ""


class Parser(Protocol):
    """Splits a stream into output and markers."""

    def feed(self, data: bytes) -> list[bytes | Marker]:
        """Return what is certain now."""

    def finish(self) -> bytes:
        """Return what was held back."""


class WholeOutput:
    """The parser of a stream without markers."""

    def feed(self, data: bytes) -> list[bytes | Marker]:
        """Return all of it as output."""
        return [data]

    def finish(self) -> bytes:
        """Nothing is held back."""
        return b""


def new_parsers(nonce: str) -> dict[Stream, Parser]:
    """A parser for each stream; no nonce: there are no markers."""
    return {stream: MarkerParser(nonce) if nonce else WholeOutput() for stream in Stream}


class Source(Protocol):
    """What a session reads, and where it writes to."""

    was_cut: bool
    """Whether the end of the streams is known to be none of the container's."""
    caught_up: asyncio.Event
    """Set once everything was told that happened before the source was opened."""

    def items(self) -> AsyncGenerator[Item, None]:
        """Yield what the container writes, until the streams end. May raise EngineUnreachable."""

    async def write(self, data: bytes) -> None:
        """Write to the container's standard input. Raises EngineUnreachable."""


class LiveStreams:
    """The streams of a container to which the daemon has been attached since before its start."""

    def __init__(self, attachment: Attachment, nonce: str) -> None:
        self._attachment = attachment
        self._parsers = new_parsers(nonce)
        self.was_cut = False
        self.caught_up = asyncio.Event()
        self.caught_up.set()

    async def write(self, data: bytes) -> None:
        """Write to the container's standard input. Raises EngineUnreachable."""
        await self._attachment.write(data)

    async def items(self) -> AsyncGenerator[Item, None]:
        """Yield what the container writes, until the streams end, in whatever way."""
        try:
            async for stream, data in self._attachment.chunks():
                for content in self._parsers[stream].feed(data):
                    yield Item(stream, content)
        except EngineUnreachable:
            self.was_cut = True  # an end like any other: what the engine says on inspection counts
        for item in rests(self._parsers):
            yield item


def rests(parsers: dict[Stream, Parser], logged: str = "") -> list[Item]:
    """What was held back, when nothing more comes: what has begun with the nonce is a marker, cut off."""
    rests = [(stream, parser.finish()) for stream, parser in parsers.items()]
    return [Item(stream, rest, logged) for stream, rest in rests if len(rest) == 1]
