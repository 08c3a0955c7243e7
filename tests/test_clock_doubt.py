"""Doubts about the host's clock: only for a while, and only if there is a reason."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from released.clock_doubt import PAUSE, ClockDoubt
from released.clock_doubt import now as clock_now
from released.retention import INTERVAL
from support.clock import Clock
from support.past import past

HOUR = timedelta(hours=1)
YEAR = timedelta(days=366)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def a_doubt(clock: Clock, silence: timedelta | None = None) -> ClockDoubt:
    """A daemon is started; before that, nothing had happened for so long, or ever."""
    last = None if silence is None else clock.now() - silence
    return ClockDoubt(last, clock.now, clock.uptime)


def test_clock_that_goes_on_is_believed(clock: Clock) -> None:
    """Also when a long time goes by between two looks: the host slept."""
    doubt = a_doubt(clock, timedelta(days=1))
    for time in (timedelta(minutes=10), HOUR, timedelta(days=100)):
        clock.goes_on(time)
        assert (doubt.look(), doubt.lasts) == ("", False)


def test_corrections_are_no_reason(clock: Clock) -> None:
    """NTP makes them all the time."""
    doubt = a_doubt(clock)
    for seconds in (-200, 200, 3):
        clock.is_set(timedelta(seconds=seconds))
        clock.goes_on(HOUR)
        assert (doubt.look(), doubt.lasts) == ("", False)


@pytest.mark.parametrize(("forward", "reason"), [(YEAR, "set forward by 366d"), (-HOUR, "set back by 1h")])
def test_clock_that_was_set_is_doubtful_for_a_while(clock: Clock, forward: timedelta, reason: str) -> None:
    """It is told once; the next look in time believes it, one that comes before does not."""
    doubt = a_doubt(clock)
    clock.is_set(forward)
    assert reason in doubt.look()
    assert doubt.lasts
    clock.goes_on(timedelta(minutes=1))
    assert (doubt.look(), doubt.lasts) == ("", True)
    clock.goes_on(HOUR)
    assert (doubt.look(), doubt.lasts) == ("", False)
    assert PAUSE < INTERVAL


def test_clock_that_is_set_right_again_is_another_doubt(clock: Clock) -> None:
    """And so the wrong time never counts."""
    doubt = a_doubt(clock)
    clock.is_set(YEAR)
    assert doubt.look()
    clock.goes_on(timedelta(minutes=50))
    clock.is_set(-YEAR)
    clock.goes_on(timedelta(minutes=10))
    assert "set back" in doubt.look()
    assert doubt.lasts
    clock.goes_on(HOUR)
    assert (doubt.look(), doubt.lasts) == ("", False)


def test_host_that_was_off_for_long_or_so_its_clock_says(clock: Clock) -> None:
    """The first look after the start doubts it, and the second, an hour later, goes on."""
    doubt = a_doubt(clock, YEAR)
    assert doubt.look() == "by it, nothing has happened here for 366 days"
    assert doubt.lasts
    clock.goes_on(HOUR)
    assert (doubt.look(), doubt.lasts) == ("", False)


async def test_log_tells_when_something_happened_last_before_its_opening(tmp_path: Path) -> None:
    """What is recorded afterwards is of a clock that may be wrong."""
    path = tmp_path / "audit.db"
    async with past(path) as log:
        assert log.audit.last_event_time is None
        log.days_ago(366)
        await log.run(1)
    async with past(path) as log:
        await log.run(2)
        assert log.audit.last_event_time is not None
        assert "nothing has happened here for 366 days" in ClockDoubt(log.audit.last_event_time).look()


def test_the_hosts_own_clock() -> None:
    """It goes on while a test runs."""
    doubt = ClockDoubt(clock_now())
    assert (doubt.look(), doubt.lasts) == ("", False)
    assert clock_now() > datetime(2026, 1, 1, tzinfo=UTC)
