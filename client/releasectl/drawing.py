"""Draws fields and tables: plain and aligned on a pipe, coloured and fitted on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from google.protobuf.timestamp_pb2 import Timestamp

from .formatting import ago, cell_width, iso_time, shortened
from .tables import Fields, Table, When
from .terminal_text import escape
from .timeline import Timeline, timeline_rows

if TYPE_CHECKING:
    from rich.text import Text

_GAP = "  "
_ELASTIC_WIDTH = 12
"""What a column that is shortened needs at least."""
_STYLES = {
    "QUEUED": "yellow",
    "PREPARING": "cyan",
    "RUNNING": "cyan",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "TIMED_OUT": "red",
    "UNREACHABLE": "red",
    "STUCK": "bold red",
    "DRAINING:": "yellow",
    "CANCELLED": "magenta",
    "ABANDONED": "yellow",
    "SKIPPED": "dim",
    "PENDING": "dim",
}


Part = Fields | Table | Timeline

_PIPED_AXIS = 40
"""Cells of a timeline's axis where there is no terminal to fit into."""
_LONGEST_AXIS = 100


def draw(*parts: Part) -> None:
    """Write the parts to stdout with a blank line between them; empty ones are left out."""
    present = [part for part in parts if (part.rows if isinstance(part, Table) else part)]
    if sys.stdout.isatty():
        _draw_on_terminal(present)
    else:
        sys.stdout.write("\n".join(_plain(part) for part in present))
        sys.stdout.flush()


def in_list() -> When:
    """Return how the times in a list are written where stdout goes."""
    return _age if sys.stdout.isatty() else iso_time


def in_full() -> When:
    """Return how a time that matters is written where stdout goes."""
    return (lambda time: f"{iso_time(time)}, {_age(time)}") if sys.stdout.isatty() else iso_time


def fitted(table: Table, width: int) -> Table:
    """Return the table without the columns for which there is no room, and others shortened."""
    full = dict(zip(table.headings, _widths([table.headings, *table.rows]), strict=True))
    least = full | {table.elastic: min(full[table.elastic], _ELASTIC_WIDTH)}
    kept = list(table.headings)
    for spare in table.optional:
        if _row_width(kept, least) > width:
            kept.remove(spare)
    limits = dict(full)
    for heading in (table.elastic, *table.shortened):
        excess = max(0, _row_width(kept, limits) - width)
        limits[heading] = max(min(full[heading], _ELASTIC_WIDTH), full[heading] - excess)
    return Table(tuple(kept), [_kept_cells(table, row, kept, limits) for row in table.rows], table.elastic)


def _row_width(headings: Sequence[str], widths: Mapping[str, int]) -> int:
    return sum(widths[heading] for heading in headings) + len(_GAP) * (len(headings) - 1)


def _kept_cells(
    table: Table, row: Sequence[str], kept: Sequence[str], limits: Mapping[str, int]
) -> tuple[str, ...]:
    cells = dict(zip(table.headings, row, strict=True))
    return tuple(shortened(cells[heading], limits[heading]) for heading in kept)


def _age(time: Timestamp) -> str:
    return ago((datetime.now(UTC) - time.ToDatetime(UTC)).total_seconds())


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(cell_width, column)) for column in zip(*rows, strict=True)]


def _padded(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the cells, safe to show and aligned; the last of a row has no blanks after it."""
    safe = [[escape(cell) for cell in row] for row in rows]
    widths = _widths(safe)
    return [
        [cell + " " * (width - cell_width(cell)) for cell, width in zip(row[:-1], widths, strict=False)]
        + [row[-1]]
        for row in safe
    ]


def _plain(part: Part) -> str:
    if isinstance(part, Timeline):
        rows: Sequence[Sequence[str]] = timeline_rows(part, _PIPED_AXIS, "#")
    else:
        rows = [part.headings, *part.rows] if isinstance(part, Table) else part
    return "".join(_GAP.join(row).rstrip() + "\n" for row in _padded(rows))


def _draw_on_terminal(parts: Sequence[Part]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for number, part in enumerate(parts):
        if number:
            console.print()
        for line in _coloured(part, console.width):
            console.print(line, soft_wrap=True)


def _timeline_on_terminal(timeline: Timeline, width: int) -> Iterator[Text]:
    from rich.text import Text

    parts = [part._replace(name=shortened(part.name, width // 3)) for part in timeline.parts]
    timeline = replace(timeline, parts=tuple(parts))
    names = timeline_rows(timeline, 0, "")
    room = width - sum(_widths([row[:-1] for row in names])) - len(_GAP) * (len(names[0]) - 1)
    heading, *rows = _padded(timeline_rows(timeline, min(room, _LONGEST_AXIS), "━"))
    yield Text(_GAP.join(heading), "dim")
    for row, part in zip(rows, timeline.parts, strict=True):
        yield Text(_GAP).join([*map(Text, row[:-1]), Text(row[-1], _STYLES.get(part.state, ""))])


def _coloured(part: Part, width: int) -> Iterator[Text]:
    from rich.text import Text

    if isinstance(part, Timeline):
        yield from _timeline_on_terminal(part, width)
        return
    if isinstance(part, Table):
        part = fitted(part, width)
        heading, *rows = _padded([part.headings, *part.rows])
        yield Text(_GAP.join(heading), "dim")
    else:
        rows = _padded(part)
    for row in rows:
        # Text, not str: rich would take a label with [brackets] for markup.
        cells = [Text(cell, _STYLES.get(cell.split(" ", 1)[0], "")) for cell in row]
        if not isinstance(part, Table):
            cells[0].stylize("dim")
        yield Text(_GAP).join(cells)
