"""The scoreboard: what is compared with what, the ratio, the target, the verdict."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from rich import box
from rich.console import Console
from rich.table import Table

from bench.rounds import Times


class Better(Enum):
    """Which way a ratio is good, with the sign of its target."""

    LESS = "≤"
    """Our time by theirs."""
    MORE = "≥"
    """Our throughput by theirs."""


@dataclass(frozen=True)
class Comparison:
    """One row: us against somebody, in the same rounds."""

    scenario: str
    us: str
    against: str
    better: Better
    target: float

    def ratio(self, ours: float, theirs: float) -> float:
        """Of two times for the same work."""
        return ours / theirs if self.better is Better.LESS else theirs / ours

    def is_met(self, ratio: float) -> bool:
        return ratio <= self.target if self.better is Better.LESS else ratio >= self.target


def print_table(comparisons: Iterable[Comparison], times: Mapping[str, Times]) -> bool:
    """Print a row for each comparison; return whether all could be measured."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("scenario", "against", "ratio", "in single rounds", "target", "verdict"):
        table.add_column(heading, overflow="fold")
    complete = True
    for comparison in comparisons:
        ours, theirs = times[comparison.us], times[comparison.against]
        target = f"{comparison.better.value} {comparison.target:.2f}"
        head = (comparison.scenario, comparison.against)
        if failure := ours.failure or theirs.failure:
            complete = False
            table.add_row(*head, "-", "-", target, f"NOT MEASURED: {failure}")
            continue
        ratio = comparison.ratio(ours.median, theirs.median)
        single = [comparison.ratio(*pair) for pair in zip(ours.seconds, theirs.seconds, strict=True)]
        verdict = "met" if comparison.is_met(ratio) else "MISSED"
        table.add_row(*head, f"{ratio:.3f}", f"{min(single):.2f} … {max(single):.2f}", target, verdict)
    # In a log or a file there is no terminal to fit into.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return complete
