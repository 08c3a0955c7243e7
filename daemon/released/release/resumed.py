"""The streams of a container that ran while nobody was attached: the engine's log first, then live."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing
from time import monotonic

from released.engine.attachment import Attachment
from released.engine.engine import Engine
from released.engine.errors import EngineRefused, EngineUnreachable
from released.model.states import Stream
from released.release.endings import SETTLING_TIME
from released.release.log_reading import LogReading, OnLost
from released.release.markers import Marker
from released.release.streams import Item, new_parsers, rests

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.05
"""Seconds until the engine's log is read again while the live streams have shown no marker; it doubles."""

LONGEST_PAUSE = 2.0

COST_FACTOR = 10
"""How many times as long as reading the log takes it is left alone at least."""

LOG_PATIENCE = 30.0
"""Seconds in which a marker that the live streams have shown has to be in the engine's log, too."""

LACKS_TAIL = "the engine's log of the container can't be read to its end"


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
        self._log = LogReading(new_parsers(nonce), on_lost, has_been_ready)
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

    def is_reached(self, log: LogReading) -> bool:
        """Whether the log has the first markers of the live streams."""
        return not self.streams_ahead_of(log)

    def streams_ahead_of(self, log: LogReading) -> list[Stream]:
        """The streams whose first marker the log does not have."""
        return [stream for stream, first in self._first.items() if not log.has(stream, first)]

    async def items_after(self, log: LogReading) -> AsyncIterator[Item]:
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
        return rests(self._parsers)
