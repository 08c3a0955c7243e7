"""The output of a release's commands as lines. Pure: events in, lines out.

A line ends with its newline, where output is missing, or where another command's output begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from releasephase.v1.release_event_pb2 import CommandOutput, OutputLost, OutputRealigned, ReleaseEvent

Stream: TypeAlias = CommandOutput.Stream.ValueType
Wanted = Callable[[int | None, Stream], bool]
"""Whether somebody asked for the output of a command (None: outside of all) on a stream."""


REMOVED = "output was removed by the retention of the audit log"
"""What is said where that is so, also in a deployment log. What is older is gone, too."""


class Line(NamedTuple):
    """A line as it came, with its newline if it has one. One with a `gap` says what is missing there."""

    data: bytes
    command_index: int | None
    stream: Stream
    sequence: int
    """That of the event in which it begins."""
    time: Timestamp
    """When that happened."""
    gap: str = ""


class Chunk(NamedTuple):
    """What one event adds to one stream of a command, and what is missing before it."""

    data: bytes
    command_index: int | None
    stream: Stream
    sequence: int
    time: Timestamp
    gap: str

    def missing(self) -> Line:
        """Return the line that says what is missing before it."""
        return Line(b"", *self[1:])


class Lines:
    """Turns events, in their order, into lines, each as soon as it has ended."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._command: int | None = None
        self._open: dict[Stream, tuple[Chunk | Line, bytearray]] = {}
        self._removed: set[Stream] = set()
        """Where that was the last thing to be said."""

    def resume(self, line: Line) -> None:
        """Go on with a line that was read before and has not ended."""
        self._command = line.command_index
        self._open[line.stream] = line, bytearray(line.data)

    def feed(self, event: ReleaseEvent) -> Iterator[Line]:
        """Yield the lines that end with this event."""
        if event.HasField("command_finished"):
            yield from self.finish()
        elif chunk := chunk_of(event):
            if chunk.command_index != self._command:
                yield from self.finish()
                self._command = chunk.command_index
                self._removed.clear()
            if self._wanted(chunk.command_index, chunk.stream):
                yield from self._split(chunk)

    def finish(self) -> Iterator[Line]:
        """Yield what has not ended: nothing more comes of it."""
        for stream in sorted(self._open):
            yield from self._end(stream)

    def _split(self, chunk: Chunk) -> Iterator[Line]:
        if chunk.gap == REMOVED:
            yield from self._told_once(chunk)
            return
        self._removed.discard(chunk.stream)
        if chunk.gap:
            yield from self._end(chunk.stream)
            yield chunk.missing()
        first, *others = chunk.data.split(b"\n")
        self._extend(chunk, first)
        if others:
            self._extend(chunk, b"\n")
            yield from self._end(chunk.stream)
            # Nearly all lines come this way, and there may be millions.
            _, index, stream, sequence, time, _ = chunk
            for data in others[:-1]:
                yield Line(data + b"\n", index, stream, sequence, time)
            self._extend(chunk, others[-1])

    def _told_once(self, chunk: Chunk) -> Iterator[Line]:
        """Yield what says that output was removed, where that was not just said."""
        yield from self._end(chunk.stream)
        if chunk.stream not in self._removed:
            self._removed.add(chunk.stream)
            yield chunk.missing()

    def _extend(self, chunk: Chunk, data: bytes) -> None:
        if data:
            self._open.setdefault(chunk.stream, (chunk, bytearray()))[1].extend(data)

    def _end(self, stream: Stream) -> Iterator[Line]:
        if stream in self._open:
            begin, data = self._open.pop(stream)
            yield Line(bytes(data), *begin[1:5])


def chunk_of(event: ReleaseEvent) -> Chunk | None:
    """Return what an event adds to the output, None if nothing."""
    match event.WhichOneof("payload"):
        case "command_output":
            output = event.command_output
            gap = f"{output.omitted_bytes} bytes omitted" if output.omitted_bytes else ""
            gap = REMOVED if output.pruned_bytes else gap
            return _chunk(event, output, gap, output.data)
        case "output_lost":
            lost = event.output_lost
            return _chunk(event, lost, f"output is missing: {' '.join(lost.reason.split())}")
        case "output_realigned":
            found = event.output_realigned
            gap = (
                f"output may be missing: the engine's log lacks {found.missing_bytes} bytes that are stored, "
                f"and differs in {found.altered_bytes} more"
            )
            return _chunk(event, found, gap)
    return None


def _chunk(
    event: ReleaseEvent, part: CommandOutput | OutputLost | OutputRealigned, gap: str, data: bytes = b""
) -> Chunk:
    index = part.command_index if part.HasField("command_index") else None
    return Chunk(data, index, part.stream, event.sequence, event.event_time, gap)
