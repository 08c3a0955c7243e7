"""Commands that take much longer than usual: told once, aside, whatever else happens."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from released.audit.log import AuditLog
from released.model.events import AnyBody, CommandSlow, CommandStarted
from released.release import pace as pace_module
from released.release.pace import Pace, SlowCommand
from released.release.standing import Running, Since
from support import audit_log
from support.audit_log import NEVER
from support.past_runs import record_run
from support.samples import RELEASE, a_command, a_spec, accepted

AT_ONCE = timedelta()
SPEC = a_spec(commands=(a_command("migrate"),))
SLOW = CommandSlow(command_index=0, median=timedelta(seconds=600), run_count=5)
DEADLINE = 60


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    """A log with a release whose command has been started."""
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        await audit.append(RELEASE, accepted(commands=SPEC.commands), CommandStarted(command_index=0))
        yield audit


@pytest.fixture
def pace(audit: AuditLog) -> Pace:
    return Pace(audit, RELEASE, SPEC.target, AT_ONCE)


async def runs(audit: AuditLog, *seconds: float) -> None:
    for number, took in enumerate(seconds):
        await record_run(audit, number, took)


def begun(ago: timedelta, slow: CommandSlow | None = None) -> Running:
    """A command that was under way before."""
    return Running(0, Since(None, datetime.now(UTC) - ago), slow=slow)


async def watched() -> None:
    """Wait until nothing more is found out."""
    watches = [task for task in asyncio.all_tasks() if task.get_name() == "pace"]
    async with asyncio.timeout(DEADLINE):
        await asyncio.gather(*watches)


async def told(audit: AuditLog) -> list[AnyBody]:
    """What is recorded behind the start of the command."""
    await audit.probe()
    return (await audit_log.bodies_of(audit, RELEASE))[2:]


async def test_slow_command_is_told_while_it_runs(audit: AuditLog, pace: Pace) -> None:
    """To whoever follows the release, and to the status."""
    await runs(audit, 0.001, 0.002, 0.003, 9, 9)
    expected = CommandSlow(command_index=0, median=timedelta(milliseconds=3), run_count=5)
    async with asyncio.timeout(DEADLINE), aclosing(audit.follow(RELEASE, 2, NEVER)) as following:
        with pace.watching(0, "migrate", None):
            (event,) = await anext(following)
            assert event.body == expected
            assert pace.slow is not None
            assert (pace.slow.label, pace.slow.median) == ("migrate", expected.median)
    assert pace.slow is None


async def test_command_that_went_on_while_nobody_watched(audit: AuditLog, pace: Pace) -> None:
    """Its time counts from its start: an hour is more than four times ten minutes."""
    await runs(audit, *[600] * 5)
    with pace.watching(0, "migrate", begun(timedelta(hours=1))):
        await watched()
        assert await told(audit) == [SLOW]


async def test_command_that_is_known_to_be_slow(audit: AuditLog, pace: Pace) -> None:
    """It was told before the daemon was started again: the status knows it, and nobody is told again."""
    await runs(audit, *[0.001] * 5)
    running = begun(timedelta(hours=1), SLOW)
    with pace.watching(0, "migrate", running):
        assert pace.slow == SlowCommand("migrate", running.since.time, SLOW.median)
        await watched()
    assert await told(audit) == []


async def test_too_few_runs_say_nothing(audit: AuditLog, pace: Pace) -> None:
    """Of four nobody knows what is usual."""
    await runs(audit, *[0.001] * 4)
    with pace.watching(0, "migrate", begun(timedelta(hours=1))):
        await watched()
    assert await told(audit) == []


async def test_command_that_ends_in_time_is_not_slow(audit: AuditLog, pace: Pace) -> None:
    """Whatever it was waited for has ended with it."""
    await runs(audit, *[600] * 5)
    with pace.watching(0, "migrate", begun(timedelta(minutes=39))):
        (watch,) = [task for task in asyncio.all_tasks() if task.get_name() == "pace"]
        await audit.query.command_times.successes(SPEC.target, "migrate", 5)  # it has asked, too, by then
    with pytest.raises(asyncio.CancelledError):
        await watch
    assert await told(audit) == []


async def test_nothing_is_asked_of_a_short_command(audit: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in its first second."""
    asked: list[object] = []
    monkeypatch.setattr(audit.query.command_times, "successes", lambda *arguments: asked.append(arguments))
    with Pace(audit, RELEASE, SPEC.target).watching(0, "migrate", None):
        await asyncio.sleep(0)
    assert asked == []
    assert timedelta(seconds=1) == pace_module.NOT_BEFORE


async def test_release_goes_on_when_nobody_can_say(
    audit: AuditLog, pace: Pace, caplog: pytest.LogCaptureFixture
) -> None:
    """The log can't be read: that is said in the daemon's own."""
    await audit.query.close()
    with pace.watching(0, "migrate", begun(timedelta(hours=1))):
        await watched()
    assert "whether command 0 is slow is not known" in caplog.text


async def test_release_goes_on_when_it_cannot_be_stored(audit: AuditLog, pace: Pace) -> None:
    """A log that takes nothing more: the status knows it all the same."""
    await runs(audit, *[600] * 5)
    await audit._writer.finish()
    with pace.watching(0, "migrate", begun(timedelta(hours=1))):
        await watched()
        assert pace.slow is not None
    assert [type(body) for body in await audit_log.bodies_of(audit, RELEASE)][2:] == []
