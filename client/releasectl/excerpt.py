"""The last lines of a command that failed, as `show` has them. Pure: lines in, lines of safe text out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from releasephase.v1.release_pb2 import Release

from .formatting import shortened
from .lines import REMOVED, Line
from .terminal_text import escape, safe_line

LINES = 10
MOST_BYTES = 256 * 1024
"""How much output is looked at to find them."""
LONGEST_LINE = 1000
"""Characters. The middle of a longer one is left out: there is `logs` to see all of it."""


def excerpt(release: Release, command_index: int, lines: Sequence[Line]) -> list[str]:
    """Return a heading, and the lines below it, if any are left."""
    name = release.name.removeprefix("releases/")
    number, label = command_index + 1, escape(release.command_runs[command_index].label)
    if all(line.gap == REMOVED for line in lines):
        return [f"Last lines of {label}: {REMOVED}"]
    heading = f"Last lines of {label}; all of them: releasectl logs {name} --command {number}"
    return [heading, "", *map(_text, _told_once(lines))]


def _told_once(lines: Sequence[Line]) -> Iterator[Line]:
    """What was removed is older than all that is left, of whichever stream."""
    yield from [line for line in lines if line.gap == REMOVED][:1]
    yield from (line for line in lines if line.gap != REMOVED)


def _text(line: Line) -> str:
    return f"[… {line.gap} …]" if line.gap else shortened(safe_line(line.data), LONGEST_LINE)
