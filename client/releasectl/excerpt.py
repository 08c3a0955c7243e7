"""The last lines of a command that failed, as `show` has them. Pure: lines in, lines of safe text out."""

from __future__ import annotations

from collections.abc import Sequence

from releasephase.v1.release_pb2 import Release

from .formatting import shortened
from .lines import Line
from .terminal_text import escape, safe_line

LINES = 10
MOST_BYTES = 256 * 1024
"""How much output is looked at to find them."""
LONGEST_LINE = 1000
"""Characters. The middle of a longer one is left out: there is `logs` to see all of it."""


def excerpt(release: Release, command_index: int, lines: Sequence[Line]) -> list[str]:
    """Return a heading, and the lines below it."""
    name = release.name.removeprefix("releases/")
    number, label = command_index + 1, escape(release.command_runs[command_index].label)
    heading = f"Last lines of {label}; all of them: releasectl logs {name} --command {number}"
    return [heading, "", *map(_text, lines)]


def _text(line: Line) -> str:
    return f"[… {line.gap} …]" if line.gap else shortened(safe_line(line.data), LONGEST_LINE)
