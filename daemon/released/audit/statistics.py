"""How long commands take: what the runs of a deployment target add up to, by the labels of commands."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from released.model.states import CommandState

FAILURES = (CommandState.FAILED, CommandState.TIMED_OUT)
"""One that was cancelled has not failed."""

TREND_RUNS = 20
LEAST_TREND_RUNS = 3
"""How many successes are compared with as many before them: the newest half, so many at most, or none."""


MEDIAN_RUNS = 100
"""What a command usually takes is the median of so many of its newest successes."""


class CommandTime(NamedTuple):
    """A command that was let go and has ended."""

    label: str
    state: CommandState
    duration: timedelta


class CommandStatistics(NamedTuple):
    """The runs of one label. All durations are those of runs that succeeded; None without any."""

    label: str
    run_count: int
    failure_count: int
    p50: timedelta | None
    p95: timedelta | None
    longest: timedelta | None
    recent_median: timedelta | None
    """Of the newest successes; and of as many before them. Both or none are there."""
    earlier_median: timedelta | None


def nearest_rank(durations: Iterable[timedelta], percent: int) -> timedelta:
    """Return the least duration that `percent` of all, which are not none, do not exceed."""
    ordered = sorted(durations)
    return ordered[max(1, -(-len(ordered) * percent // 100)) - 1]


def median(runs: Iterable[CommandTime]) -> timedelta:
    """Return the median of runs, which are not none."""
    return nearest_rank((run.duration for run in runs), 50)


def statistics_of(runs: Iterable[CommandTime]) -> list[CommandStatistics]:
    """Return the statistics of runs that come from the newest to the oldest, in the order of first sight."""
    by_label: defaultdict[str, list[CommandTime]] = defaultdict(list)
    for run in runs:
        by_label[run.label].append(run)
    return [_statistics(label, runs) for label, runs in by_label.items()]


def _statistics(label: str, runs: Sequence[CommandTime]) -> CommandStatistics:
    succeeded = [run.duration for run in runs if run.state is CommandState.SUCCEEDED]
    count = min(TREND_RUNS, len(succeeded) // 2)
    has_trend = count >= LEAST_TREND_RUNS
    return CommandStatistics(
        label=label,
        run_count=len(runs),
        failure_count=sum(run.state in FAILURES for run in runs),
        p50=nearest_rank(succeeded, 50) if succeeded else None,
        p95=nearest_rank(succeeded, 95) if succeeded else None,
        longest=max(succeeded, default=None),
        recent_median=nearest_rank(succeeded[:count], 50) if has_trend else None,
        earlier_median=nearest_rank(succeeded[count : 2 * count], 50) if has_trend else None,
    )
