"""How long commands take, by what is recorded of their runs."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.audit import command_times
from released.audit.filter import Condition
from released.audit.log import AuditLog
from released.audit.statistics import CommandStatistics, CommandTime, nearest_rank, statistics_of
from released.audit.times import as_microseconds
from released.model.events import CommandFinished, CommandStarted
from released.model.release import Target
from released.model.states import CommandState
from support import audit_log
from support.past_runs import BEGIN, SHOP, record_run
from support.samples import accepted


def seconds(*values: float) -> list[timedelta]:
    return [timedelta(seconds=value) for value in values]


def runs(*values: float, state: CommandState = CommandState.SUCCEEDED) -> list[CommandTime]:
    """Runs of the same command, the newest first."""
    return [CommandTime("migrate", state, length) for length in seconds(*values)]


@given(st.lists(st.timedeltas(), min_size=1), st.integers(1, 100))
def test_nearest_rank(durations: list[timedelta], percent: int) -> None:
    """The least of all values that so many do not exceed, by counting."""
    enough = [
        each
        for each in durations
        if sum(other <= each for other in durations) * 100 >= percent * len(durations)
    ]
    assert nearest_rank(durations, percent) == min(enough)


def test_statistics_of_a_command() -> None:
    """Durations are those of successes; a cancelled run is a run, and no failure."""
    failed = [*runs(100, state=CommandState.FAILED), *runs(200, state=CommandState.TIMED_OUT)]
    (found,) = statistics_of([*failed, *runs(300, state=CommandState.CANCELLED), *runs(4, 1, 3, 2)])
    p50, p95 = seconds(2, 4)
    assert found == CommandStatistics("migrate", 7, 2, p50, p95, p95, None, None)


def test_command_that_never_succeeded() -> None:
    """Nobody knows how long it takes."""
    (found,) = statistics_of(runs(1, 2, state=CommandState.FAILED))
    assert found == CommandStatistics("migrate", 2, 2, None, None, None, None, None)


@pytest.mark.parametrize(
    ("durations", "recent", "earlier"),
    [
        ([9] * 3 + [5] * 3, 9, 5),
        ([9] * 3 + [5] * 4, 9, 5),
        ([9, 1, 8, 5, 5, 5], 8, 5),
        ([9] * 20 + [5] * 20 + [1] * 100, 9, 5),
        ([9] * 5, None, None),
    ],
)
def test_trend(durations: list[float], recent: float | None, earlier: float | None) -> None:
    """The newer half of the successes, twenty at most, and as many before; not of fewer than six."""
    (found,) = statistics_of(runs(*durations))
    expected = [None if value is None else timedelta(seconds=value) for value in (recent, earlier)]
    assert [found.recent_median, found.earlier_median] == expected


def test_labels_in_the_order_of_first_sight() -> None:
    """Which is that of the newest release."""
    mixed = [CommandTime(label, CommandState.SUCCEEDED, timedelta()) for label in "cababcd"]
    assert [statistics.label for statistics in statistics_of(mixed)] == ["c", "a", "b", "d"]


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        yield audit


async def test_runs_of_a_target(audit: AuditLog) -> None:
    """The newest first; those of other targets are not mixed in, nor those that have not ended."""
    await record_run(audit, 0, 1)
    await record_run(audit, 1, 2, CommandState.FAILED)
    await record_run(audit, 2, 3, target=Target("shop", "test"))
    await audit.append("under way", accepted("a", "b"), CommandStarted(command_index=0))
    assert await audit.query.command_times.since(SHOP) == [
        CommandTime("migrate", CommandState.FAILED, timedelta(seconds=2)),
        CommandTime("migrate", CommandState.SUCCEEDED, timedelta(seconds=1)),
    ]


async def test_clock_that_was_set_back(audit: AuditLog) -> None:
    """Nothing takes less than no time."""
    await record_run(audit, 0, -5)
    assert [run.duration for run in await audit.query.command_times.since(SHOP)] == [timedelta()]


async def test_runs_since_some_time(audit: AuditLog) -> None:
    """By when they were begun."""
    for number in range(3):
        await record_run(audit, number, number)
    since = as_microseconds(BEGIN + timedelta(hours=1))
    assert [run.duration for run in await audit.query.command_times.since(SHOP, since)] == seconds(2, 1)


async def test_successes_of_a_command(audit: AuditLog) -> None:
    """The newest so many, of that label only."""
    for number in range(4):
        await record_run(audit, number, number)
    await record_run(audit, 4, 9, CommandState.FAILED)
    await record_run(audit, 5, 9, label="another")
    found = await audit.query.command_times.successes(SHOP, "migrate", 3)
    assert [run.duration for run in found] == seconds(3, 2, 1)


async def test_only_the_newest_releases_are_looked_at(audit: AuditLog) -> None:
    """However many there are: a question has an end."""
    for number in range(command_times.RECENT_RELEASES + 2):
        audit.append(f"r{number}", accepted("true"), CommandStarted(command_index=0), ended())
    await audit.probe()
    assert len(await audit.query.command_times.since(SHOP)) == command_times.RECENT_RELEASES


def ended() -> CommandFinished:
    return CommandFinished(
        command_index=0, state=CommandState.SUCCEEDED, exit_code=0, end_time=datetime.now(UTC)
    )


async def test_targets_of_releases(audit: AuditLog) -> None:
    """Each once, in order."""
    for target in (SHOP, Target("blog", "live"), SHOP, Target("shop", "alpha")):
        await audit.append(
            f"{target} {audit.head.sequence}",
            accepted(application=target.application, environment=target.environment),
        )
    assert [str(target) for target in await audit.query.targets(Condition("TRUE", ()))] == [
        "blog/live",
        "shop/alpha",
        "shop/live",
    ]
    assert await audit.query.targets(Condition("application = ?", ("blog",))) == [Target("blog", "live")]
