"""The last lines of a release's output, found from its end. Pure: events in, newest first; lines out."""

from __future__ import annotations

from releasephase.v1.release_event_pb2 import ReleaseEvent

from .lines import REMOVED, Line, Lines, Stream, Wanted, chunk_of

FARTHEST = 1024 * 1024
"""Bytes of the other stream behind which the beginning of a line is not looked for any more."""


class LastLines:
    """Finds the `count` lines that begin last, in the order in which they begin.

    It takes no more events than have these lines, and some to see where the first of them begin:
    that is not looked for farther than FARTHEST before.

    Args:
        count: How many lines.
        wanted: Which output is looked at.
        most_bytes: After so much output it gives up, even if lines are missing then or cut.
    """

    def __init__(self, count: int, wanted: Wanted, most_bytes: float = float("inf")) -> None:
        self._count = count
        self._wanted = wanted
        self._bytes_left = most_bytes
        self._newest_first: list[ReleaseEvent] = []
        self._ended = 0
        self._removed = False
        self._command: int | None = None
        self._since: dict[Stream, int] = {}
        """By stream of the command that is being read: how much the other one has written before it."""

    def add(self, event: ReleaseEvent) -> None:
        """Take the next older event."""
        chunk = chunk_of(event)
        if chunk is None or not self._wanted(chunk.command_index, chunk.stream):
            return
        self._newest_first.append(event)
        if chunk.command_index != self._command:
            self._command, self._since = chunk.command_index, {}
        self._since = {stream: size + len(chunk.data) for stream, size in self._since.items()}
        self._since[chunk.stream] = FARTHEST if chunk.gap else 0
        self._bytes_left -= len(chunk.data)
        self._removed = self._removed or chunk.gap == REMOVED
        self._ended += chunk.data.count(b"\n")

    def is_complete(self) -> bool:
        """Return whether older events would change nothing, or too many have come."""
        if not self._count or self._bytes_left <= 0 or self._removed:
            return True
        if self._ended < self._count:
            return False
        ended, unended = self._split()
        lines = [*ended, *unended]
        chosen = self._last(lines)
        first = {line.stream: line for line in reversed(lines) if line.command_index == self._command}
        looked_for = [line for stream, line in first.items() if self._since[stream] < FARTHEST]
        enough = sum(not line.gap for line in chosen) == self._count
        return enough and not any(line is each for line in chosen for each in looked_for)

    def lines(self) -> list[Line]:
        """Return the lines, and between them what is missing there."""
        ended, unended = self._split()
        return self._last([*ended, *unended])

    def lines_so_far(self) -> tuple[list[Line], list[Line]]:
        """Return those that have ended, and those of the newest command which may go on."""
        ended, unended = self._split()
        return self._last(ended), unended

    def _split(self) -> tuple[list[Line], list[Line]]:
        lines = Lines(self._wanted)
        ended = [line for event in reversed(self._newest_first) for line in lines.feed(event)]
        return ended, list(lines.finish())

    def _last(self, lines: list[Line]) -> list[Line]:
        chosen: list[Line] = []
        left = self._count
        for line in sorted(lines, key=lambda line: line.sequence)[::-1]:
            if left == 0:
                break
            chosen.append(line)
            left -= not line.gap
        return chosen[::-1]
