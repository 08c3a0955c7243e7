"""The scoreboard: what is compared with what, the ratio, the target, the verdict."""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from rich import box
from rich.console import Console
from rich.table import Table

from bench.rounds import Times

_NOT_MEASURED = "NOT MEASURED"


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


@dataclass(frozen=True)
class Limit:
    """One row: us against a time that must not be exceeded."""

    scenario: str
    us: str
    seconds: float


Row = Comparison | Limit


def print_table(rows: Iterable[Row], times: Mapping[str, Times]) -> bool:
    """Print the rows; return whether all could be measured."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("scenario", "against", "ratio", "in single rounds", "target", "verdict"):
        table.add_column(heading, overflow="fold")
    complete = True
    for row in rows:
        cells = _compared(row, times) if isinstance(row, Comparison) else _limited(row, times)
        complete = complete and not cells[-1].startswith(_NOT_MEASURED)
        table.add_row(*cells)
    # In a log or a file there is no terminal to fit into.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return complete


def _compared(row: Comparison, times: Mapping[str, Times]) -> tuple[str, ...]:
    ours, theirs = times[row.us], times[row.against]
    target = f"{row.better.value} {row.target:.2f}"
    if failure := ours.failure or theirs.failure:
        return row.scenario, row.against, "-", "-", target, f"{_NOT_MEASURED}: {failure}"
    ratio = row.ratio(ours.median, theirs.median)
    single = [row.ratio(*pair) for pair in zip(ours.seconds, theirs.seconds, strict=True)]
    verdict = _verdict(met=row.is_met(ratio))
    return (
        row.scenario,
        row.against,
        f"{ratio:.3f}",
        f"{min(single):.2f} … {max(single):.2f}",
        target,
        verdict,
    )


def _limited(row: Limit, times: Mapping[str, Times]) -> tuple[str, ...]:
    ours, target = times[row.us], f"≤ {_seconds(row.seconds)}"
    if ours.failure:
        return row.scenario, "the clock", "-", "-", target, f"{_NOT_MEASURED}: {ours.failure}"
    single = f"{_seconds(min(ours.seconds))} … {_seconds(max(ours.seconds))}"
    verdict = _verdict(met=ours.median <= row.seconds)
    return row.scenario, "the clock", _seconds(ours.median), single, target, verdict


def _verdict(*, met: bool) -> str:
    return "met" if met else "MISSED"


def _seconds(count: float) -> str:
    return f"{count:.2f} s" if count >= 0.1 else f"{count * 1000:.1f} ms"
