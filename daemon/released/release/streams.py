"""Where a container's output comes from: its live streams, or also the engine's log of the time before."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from time import monotonic
from typing import NamedTuple, Protocol

from released.engine.attachment import Attachment
from released.engine.container_log import LoggedChunk
from released.engine.engine import Engine
from released.engine.errors import EngineRefused, EngineUnreachable
from released.model.states import Stream
from released.release.endings import SETTLING_TIME
from released.release.markers import Here, Marker, MarkerParser, Ready
from released.release.seam import LACKS_HEAD

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.05
"""Seconds until the engine's log is read again while the live streams have shown no marker; it doubles."""

LONGEST_PAUSE = 2.0

COST_FACTOR = 10
"""How many times as long as reading the log takes it is left alone at least."""

BEGINNING_BYTES = 64
"""By so many bytes is it seen whether the engine's log still begins where it did."""

LONGEST_HEAD = 8 * 1024 * 1024
"""More bytes than an entrypoint writes before its supervisor is ready, in one stream."""

LOG_PATIENCE = 30.0
"""Seconds in which a marker that the live streams have shown has to be in the engine's log, too."""


LACKS_TAIL = "the engine's log of the container can't be read to its end"

OnLost = Callable[[Stream, str], None]
"""Told which stream lacks output that was written while nobody was attached, and why."""


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
        for item in _rests(self._parsers):
            yield item


def _rests(parsers: dict[Stream, Parser], logged: str = "") -> list[Item]:
    """What was held back, when nothing more comes: what has begun with the nonce is a marker, cut off."""
    rests = [(stream, parser.finish()) for stream, parser in parsers.items()]
    return [Item(stream, rest, logged) for stream, rest in rests if len(rest) == 1]


class ResumedStreams:
    """The streams of a container that ran while nobody was attached, without a gap or a repetition.

    Markers are the same in the engine's log and in the live streams. So the log is read until
    it has the first marker of the live streams, of which everything before it is dropped. From
    then on they are not read, and the container can't run ahead, until the log is read that far.
    Without a marker (a container of one command has none) the log is read again and again.
    """

    def __init__(
        self,
        engine: Engine,
        container_id: str,
        nonce: str,
        attachment: Attachment | None,
        on_lost: OnLost,
        has_been_ready: bool,
    ) -> None:
        """`has_been_ready` says that the log has to say so: if it does not, it has lost its head."""
        self._engine = engine
        self._container_id = container_id
        self._nonce = nonce
        self._attachment = attachment
        self._on_lost = on_lost
        self._log = _Log(new_parsers(nonce), on_lost, has_been_ready)
        self.was_cut = False
        self.caught_up = asyncio.Event()

    async def write(self, data: bytes) -> None:
        """Write to the container's standard input. Raises EngineUnreachable."""
        if self._attachment is None:
            raise EngineUnreachable("the container has ended")
        await self._attachment.write(data)

    async def items(self) -> AsyncGenerator[Item, None]:
        """Yield what the container has written, and then what it writes. May raise EngineUnreachable."""
        live = _Live(self._attachment, self._nonce)
        finding = asyncio.create_task(self._find_markers(live), name="find-markers")
        try:
            async with aclosing(self._from_log(finding, live)) as logged:
                async for item in logged:
                    yield item
            await asyncio.wait({finding})
            async for item in live.items_after(self._log):
                yield item
        finally:
            finding.cancel()
            await asyncio.wait({finding})

    async def _find_markers(self, live: "_Live") -> None:
        """Let the live streams find their place, unless the container ends: an attachment may not notice."""
        tasks = (
            asyncio.create_task(live.find_markers()),
            asyncio.create_task(self._engine.await_end(self._container_id)),
        )
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            live.ended = live.ended or tasks[0] not in done
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _from_log(self, finding: "asyncio.Task[None]", live: "_Live") -> AsyncGenerator[Item, None]:
        """Yield the log's items until the live streams can take over, or have ended."""
        pause = FIRST_PAUSE
        found: float | None = None
        while True:
            started = monotonic()
            if finding.done():
                found = found or started
            if found and live.ended:
                # The engine completes its log before it says that the container has ended.
                await self._engine.inspect_ended(self._container_id, SETTLING_TIME)
            try:
                async with aclosing(self._engine.read_log(self._container_id)) as chunks:
                    async for item in self._log.new_items(chunks):
                        yield item
            except EngineRefused as error:
                logger.warning("what the container wrote before can't be read: %s", error)
                self._give_up_log(live, Stream)
                return
            self._log.end_pass()
            self.caught_up.set()
            if found and live.ended:
                for item in self._log.rest():
                    yield item
            if found and (live.ended or live.is_reached(self._log)):
                return
            if found and started - found > LOG_PATIENCE:
                self._give_up_log(live, live.streams_ahead_of(self._log))
                return
            cost = COST_FACTOR * (monotonic() - started)
            if found:
                await asyncio.sleep(max(FIRST_PAUSE, cost))
            else:
                pause = min(2 * pause, LONGEST_PAUSE)
                await asyncio.wait({finding}, timeout=max(pause, cost))

    def _give_up_log(self, live: "_Live", streams: Iterable[Stream]) -> None:
        """Say what is lost, and let the live streams pass from wherever they are."""
        for stream in streams:
            self._on_lost(stream, LACKS_TAIL)
        live.passes = True
        self._log.end_pass()
        self.caught_up.set()


class _Log:
    """How far the engine's log of a container has been read."""

    def __init__(self, parsers: dict[Stream, Parser], on_lost: OnLost, has_been_ready: bool) -> None:
        self._parsers = parsers
        self._on_lost = on_lost
        self._read_bytes = dict.fromkeys(Stream, 0)
        self._output_bytes = dict.fromkeys(Stream, 0)
        self._marker_at: dict[tuple[Stream, Marker], int] = {}
        """How many bytes of output had come when a marker came."""
        self._heads = {stream: bytearray() for stream in Stream} if has_been_ready else {}
        """What comes before the first marker, while it is not known whether that is the right one."""
        self._beginnings = dict.fromkeys(Stream, b"")
        self._shifted: set[Stream] = set()
        """Those whose log was rotated while it was read: what it has got since is not told."""
        self._out_of_place: set[Stream] = set()
        """Those that have lost their head: what comes up to the next marker may be stored already."""

    def has(self, stream: Stream, marker: Marker) -> bool:
        """Whether a marker has been read."""
        return (stream, marker) in self._marker_at

    def output_since(self, stream: Stream, marker: Marker) -> int:
        """How many bytes of output have been read after a marker, 0 if it has not been read."""
        return self._output_bytes[stream] - self._marker_at.get((stream, marker), self._output_bytes[stream])

    async def new_items(self, chunks: AsyncIterator[LoggedChunk]) -> AsyncIterator[Item]:
        """Yield what the log, read from its beginning, has more than the last time."""
        seen = dict.fromkeys(Stream, 0)
        async for chunk in chunks:
            if self._has_shifted(chunk, seen[chunk.stream]):
                self._on_lost(chunk.stream, LACKS_HEAD)
                self._shifted.add(chunk.stream)
            seen[chunk.stream] += len(chunk.data)
            if chunk.stream in self._shifted:
                continue
            new = seen[chunk.stream] - self._read_bytes[chunk.stream]
            if new > 0:
                self._read_bytes[chunk.stream] += new
                for content in self._parsers[chunk.stream].feed(chunk.data[-new:]):
                    for item in self._checked(Item(chunk.stream, content, chunk.time)):
                        yield item

    def _has_shifted(self, chunk: LoggedChunk, offset: int) -> bool:
        """Whether the log of a stream begins differently now: it was rotated, and can't be counted in."""
        if chunk.stream in self._shifted or offset >= BEGINNING_BYTES:
            return False
        before = self._beginnings[chunk.stream]
        beginning = before[:offset] + chunk.data[: BEGINNING_BYTES - offset]
        self._beginnings[chunk.stream] = max(before, beginning, key=len)
        size = min(len(before), len(beginning))
        return before[:size] != beginning[:size]

    def end_pass(self) -> None:
        """Take note that the log was read as far as it goes: what it does not have now, it has lost."""
        for stream in list(self._heads):
            self._lose_head(stream)
        # What comes from here on was written after that, and can't be stored.
        self._out_of_place.clear()

    def rest(self) -> list[Item]:
        """Return what the parsers held back: the log is complete."""
        return _rests(self._parsers, "end")

    def _checked(self, item: Item) -> list[Item]:
        """The item, and what waited for it; nothing while the head of the stream is not known to be there."""
        if isinstance(item.content, bytes):
            self._output_bytes[item.stream] += len(item.content)
        else:
            self._marker_at[item.stream, item.content] = self._output_bytes[item.stream]
        if isinstance(item.content, Here):
            return [item]
        if isinstance(item.content, bytes):
            return self._placed(item, item.content)
        if item.stream not in self._heads:
            self._out_of_place.discard(item.stream)
            return [item]
        if isinstance(item.content, Ready):
            head = bytes(self._heads.pop(item.stream))
            return [item._replace(content=head), item] if head else [item]
        self._lose_head(item.stream)
        self._out_of_place.discard(item.stream)
        return [item]

    def _placed(self, item: Item, output: bytes) -> list[Item]:
        """The item if it is known where it belongs; else it is held back, or dropped."""
        if item.stream in self._out_of_place:
            return []
        if item.stream not in self._heads:
            return [item]
        self._heads[item.stream] += output
        if len(self._heads[item.stream]) > LONGEST_HEAD:
            self._lose_head(item.stream)
        return []

    def _lose_head(self, stream: Stream) -> None:
        del self._heads[stream]
        self._out_of_place.add(stream)
        self._on_lost(stream, LACKS_HEAD)


class _Live:
    """The live streams of a container that has been running, from their first markers on."""

    def __init__(self, attachment: Attachment | None, nonce: str) -> None:
        self._chunks = attachment.chunks() if attachment else None
        self._parsers = new_parsers(nonce)
        self._first: dict[Stream, Marker] = {}
        self._kept: list[Item] = []
        self.ended = attachment is None
        self.passes = False
        """Whether nothing is dropped any more, marker or not."""

    async def find_markers(self) -> None:
        """Read until each stream has shown a marker, and drop what comes before: the log has it."""
        while not (self.ended or self.passes) and len(self._first) < len(Stream):
            for item in await self._next_items():
                if self.passes or item.stream in self._first:
                    self._kept.append(item)
                elif not isinstance(item.content, bytes):
                    self._first[item.stream] = item.content

    def is_reached(self, log: _Log) -> bool:
        """Whether the log has the first markers of the live streams."""
        return not self.streams_ahead_of(log)

    def streams_ahead_of(self, log: _Log) -> list[Stream]:
        """The streams whose first marker the log does not have."""
        return [stream for stream, first in self._first.items() if not log.has(stream, first)]

    async def items_after(self, log: _Log) -> AsyncIterator[Item]:
        """Yield what comes after what the log has told; the markers in between come again."""
        skip = {stream: log.output_since(stream, first) for stream, first in self._first.items()}
        items, self._kept = self._kept, []
        while True:
            for item in items:
                content = item.content
                if isinstance(content, bytes) and skip.get(item.stream, 0):
                    skipped = min(skip[item.stream], len(content))
                    skip[item.stream] -= skipped
                    content = content[skipped:]
                if content:
                    yield item._replace(content=content)
            if self.ended:
                return
            items = await self._next_items()

    async def _next_items(self) -> list[Item]:
        """What comes next; what the parsers held back at the end. A lost connection is an end."""
        try:
            chunk = await anext(self._chunks, None) if self._chunks else None
        except EngineUnreachable:
            chunk = None
        if chunk:
            return [Item(chunk.stream, content) for content in self._parsers[chunk.stream].feed(chunk.data)]
        self.ended = True
        return _rests(self._parsers)
