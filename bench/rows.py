"""The rows of the scoreboard: what is compared with what, and the verdict on what was measured."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

from bench.rounds import Figures, NotInstalled, NotMeasured

LINEAR = 1.1
"""Up to so many times what linear growth gives is noise; more is a defect."""

CONSTANT = 1.5
"""Up to so many times what it costs at a tenth of the size is noise and a tree's depth; more is a defect."""


class Verdict(Enum):
    """On one row."""

    MET = "met"
    MISSED = "MISSED"
    DEFECT = "DEFECT"
    """It grows faster than what it is for."""
    BESIDE = "no target"
    NOT_MEASURED = "NOT MEASURED"
    NOT_INSTALLED = "NOT INSTALLED"


class Line(NamedTuple):
    """A row with what was measured, as it is shown."""

    scenario: str
    contender: str
    against: str
    ratio: str
    single: str
    """The least and the most in single rounds."""
    rounds: str
    target: str
    verdict: Verdict
    why: str = ""
    """Why there is no figure."""


class Unit(Enum):
    """What is bounded by itself, instead of beside somebody."""

    SECONDS = "s"
    MIB = "MiB"
    PERCENT = "%"

    def show(self, value: float) -> str:
        """Format a figure for people."""
        if self is Unit.SECONDS and abs(value) < 0.1:
            return f"{value * 1000:.1f} ms"
        return f"{value:.1f} MiB" if self is Unit.MIB else f"{value:.2f} {self.value}"


class Better(Enum):
    """Which way a ratio is good, with the sign of its target."""

    LESS = "≤"
    """Our time by theirs."""
    MORE = "≥"
    """Our throughput by theirs."""


@dataclass(frozen=True)
class Comparison:
    """One row: us against a limit or a peer, in the same rounds."""

    scenario: str
    us: str
    against: str
    better: Better
    target: float

    def judge(self, figures: Mapping[str, Figures]) -> Line:
        """Return the row as it turned out."""
        ours, theirs, target = figures[self.us], figures[self.against], self._target
        if failure := ours.failure or theirs.failure:
            return unmeasured(self.scenario, self.us, self.against, target, failure)
        ratio = self._ratio(ours.median, theirs.median)
        single = [self._ratio(*pair) for pair in zip(ours.values, theirs.values, strict=True)]
        met = ratio <= self.target if self.better is Better.LESS else ratio >= self.target
        return Line(
            *(self.scenario, self.us, self.against, f"{ratio:.3f}"),
            *(f"{min(single):.2f} … {max(single):.2f}", str(len(single)), target, _verdict(met=met)),
        )

    @property
    def _target(self) -> str:
        return f"{self.better.value} {self.target:.2f}"

    def _ratio(self, ours: float, theirs: float) -> float:
        """Of two times for the same work."""
        return ours / theirs if self.better is Better.LESS else theirs / ours


@dataclass(frozen=True)
class Beyond:
    """One row: by how much more than a limit we may take, in the unit of the figures."""

    scenario: str
    us: str
    against: str
    most: float
    unit: Unit = Unit.SECONDS

    def judge(self, figures: Mapping[str, Figures]) -> Line:
        """Return the row as it turned out."""
        ours, theirs = figures[self.us], figures[self.against]
        target = f"≤ limit + {self.unit.show(self.most)}"
        if failure := ours.failure or theirs.failure:
            return unmeasured(self.scenario, self.us, self.against, target, failure)
        single = [one - other for one, other in zip(ours.values, theirs.values, strict=True)]
        beyond = ours.median - theirs.median
        return Line(
            *(self.scenario, self.us, self.against, f"limit + {self.unit.show(beyond)}"),
            *(_spread(self.unit, single), str(len(single)), target, _verdict(met=beyond <= self.most)),
        )


@dataclass(frozen=True)
class Bound:
    """One row: a figure of ours that must not be exceeded, whatever others do."""

    scenario: str
    us: str
    most: float
    unit: Unit = Unit.SECONDS

    def judge(self, figures: Mapping[str, Figures]) -> Line:
        """Return the row as it turned out."""
        ours, target = figures[self.us], f"≤ {self.unit.show(self.most)}"
        if ours.failure:
            return unmeasured(self.scenario, self.us, "a bound", target, ours.failure)
        verdict = _verdict(met=ours.median <= self.most)
        return Line(
            *(self.scenario, self.us, "a bound", self.unit.show(ours.median)),
            *(_spread(self.unit, ours.values), str(len(ours.values)), target, verdict),
        )


@dataclass(frozen=True)
class Growth:
    """One row: what a size costs beside a smaller one; twice the size may cost twice as much."""

    scenario: str
    us: str
    against: str
    factor: float
    """How many times the smaller size it is."""

    def judge(self, figures: Mapping[str, Figures]) -> Line:
        """Return the row as it turned out; its ratio is the cost of one of the large by one of the small."""
        ours, theirs, target = figures[self.us], figures[self.against], f"≤ {LINEAR:.2f} times linear"
        if failure := ours.failure or theirs.failure:
            return unmeasured(self.scenario, self.us, self.against, target, failure)
        single = [one / other / self.factor for one, other in zip(ours.values, theirs.values, strict=True)]
        ratio = ours.median / theirs.median / self.factor
        return Line(
            *(self.scenario, self.us, self.against, f"{ratio:.3f} times linear"),
            *(f"{min(single):.2f} … {max(single):.2f}", str(len(single)), target),
            Verdict.MET if ratio <= LINEAR else Verdict.DEFECT,
        )


@dataclass(frozen=True)
class OneMore:
    """One row: what one more costs at a size, beside a smaller one: if more, all cost more than linearly."""

    scenario: str
    us: str
    against: str

    def judge(self, figures: Mapping[str, Figures]) -> Line:
        """Return the row as it turned out."""
        line = Comparison(self.scenario, self.us, self.against, Better.LESS, CONSTANT).judge(figures)
        return line._replace(verdict=Verdict.DEFECT) if line.verdict is Verdict.MISSED else line


@dataclass(frozen=True)
class Beside:
    """One row: us beside somebody of whom nobody asks that we be faster."""

    scenario: str
    us: str
    against: str

    def judge(self, figures: Mapping[str, Figures]) -> Line:
        """Return the row as it turned out; its ratio is of times."""
        line = Comparison(self.scenario, self.us, self.against, Better.LESS, float("inf")).judge(figures)
        verdict = Verdict.BESIDE if line.verdict is Verdict.MET else line.verdict
        return line._replace(target="none", verdict=verdict)


Row = Comparison | Beyond | Bound | Growth | OneMore | Beside


def growth(scenario: str, contenders: Mapping[int, str]) -> Iterator[Growth]:
    """Compare each size with the one before it; the mapping has the contender of each, in order."""
    for (smaller, against), (larger, us) in pairwise(contenders.items()):
        yield Growth(scenario, us, against, larger / smaller)


def one_more(scenario: str, contenders: Mapping[int, str]) -> Iterator[OneMore]:
    """Compare what one more costs at each size with the size before it, as `growth`."""
    for against, us in pairwise(contenders.values()):
        yield OneMore(scenario, us, against)


def unmeasured(scenario: str, us: str, against: str, target: str, failure: Exception) -> Line:
    """Return the line of a row without a figure."""
    verdict = Verdict.NOT_INSTALLED if isinstance(failure, NotInstalled) else Verdict.NOT_MEASURED
    return Line(scenario, us, against, "-", "-", "-", target, verdict, _in_short(str(failure)))


def failed(scenario: str, error: Exception) -> Line:
    """Return the line of a whole part that could not be measured."""
    return unmeasured(scenario, "-", "-", "-", NotMeasured(str(error)))


def _in_short(words: str) -> str:
    """What failed and how it ended: the first line and the last, of words that may be a whole log."""
    first, *more = words.strip().splitlines() or [""]
    return f"{first} … {more[-1].strip()}" if more else first


def _verdict(*, met: bool) -> Verdict:
    return Verdict.MET if met else Verdict.MISSED


def _spread(unit: Unit, values: tuple[float, ...] | list[float]) -> str:
    return f"{unit.show(min(values))} … {unit.show(max(values))}"
