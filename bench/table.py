"""The scoreboard on a terminal or in a log."""

import sys
from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.table import Table

from bench.rows import Line

HEADINGS = ("scenario", "contender", "against", "ratio", "in single rounds", "rounds", "target", "verdict")


def cells(line: Line) -> tuple[str, ...]:
    """Return what stands below the headings."""
    *before, verdict, why = line
    return *map(str, before), f"{verdict.value}: {why}" if why else verdict.value


def print_table(lines: Iterable[Line]) -> None:
    """Print the rows."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for line in lines:
        table.add_row(*cells(line))
    # In a log or a file there is no terminal to fit into.
    Console(width=None if sys.stdout.isatty() else 200).print(table)
