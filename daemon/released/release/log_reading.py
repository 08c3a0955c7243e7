"""How far the engine's log of a container has been read, and whether it still begins where it did."""

from collections.abc import AsyncIterator, Callable

from released.engine.container_log import LoggedChunk
from released.model.states import Stream
from released.release.markers import Here, Marker, Ready
from released.release.seam import LACKS_HEAD
from released.release.streams import Item, Parser, rests

BEGINNING_BYTES = 64
"""By so many bytes is it seen whether the engine's log still begins where it did."""

LONGEST_HEAD = 8 * 1024 * 1024
"""More bytes than an entrypoint writes before its supervisor is ready, in one stream."""

OnLost = Callable[[Stream, str], None]
"""Told which stream lacks output that was written while nobody was attached, and why."""


class LogReading:
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
        return rests(self._parsers, "end")

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
