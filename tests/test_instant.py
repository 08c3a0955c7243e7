"""Moments by a clock that nobody sets, and that is another one after each boot."""

import time
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from released.model.instant import Instant, now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """What each clock of the kernel says, for the test to set."""
    clocks: dict[int, float] = {}
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)
    return clocks


def test_time_since_a_moment_is_that_of_the_clock(clock: dict[int, float]) -> None:
    """Which goes on while the host is suspended."""
    clock[time.CLOCK_BOOTTIME] = 100.0
    moment = now()
    clock[time.CLOCK_BOOTTIME] = 3700.5
    assert moment.elapsed() == timedelta(seconds=3600.5)


def test_moment_of_another_boot_says_nothing() -> None:
    """Its clock began somewhere else."""
    assert Instant("another boot", now().uptime).elapsed() is None


def test_moment_of_this_boot_can_be_told_by_another_process() -> None:
    """It has only what the kernel says, and is stored as it is."""
    moment = now()
    assert moment.boot_id == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    stored = msgspec.json.decode(msgspec.json.encode(moment), type=Instant)
    assert stored == moment
    elapsed = stored.elapsed()
    assert elapsed is not None
    assert elapsed >= timedelta()
