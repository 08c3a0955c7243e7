"""Whether the host's clock can be believed when it says that something is old."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from released.model.durations import in_words

JUMP = timedelta(minutes=5)
"""By how much the clock may be set between two looks at it; what NTP corrects is far less."""

SILENCE = timedelta(days=30)
"""How long, by the clock, nothing may have happened on the host before the daemon's start."""

PAUSE = timedelta(minutes=55)
"""How long a doubt lasts: to the look an hour later, but not to one that comes because of a reload."""


def now() -> datetime:
    """The time that the host's clock says, which may be wrong, and be set."""
    return datetime.now(UTC)


def uptime() -> timedelta:
    """How long the host has been up, also asleep (CLOCK_BOOTTIME): nobody sets that."""
    return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME))


class ClockDoubt:
    """Compares the clock with what it said before. A time that it keeps saying is believed after a while."""

    def __init__(
        self,
        last_event_time: datetime | None,
        now: Callable[[], datetime] = now,
        uptime: Callable[[], timedelta] = uptime,
    ) -> None:
        """`last_event_time`: when, by the log, something happened last before this daemon's start."""
        self._last_event_time = last_event_time
        self._now = now
        self._uptime = uptime
        self._booted = now() - uptime()
        self._until: timedelta | None = None

    def look(self) -> str:
        """Say what has come up that makes the clock doubtful; empty for nothing new. It begins a pause."""
        reason = self._jump() or self._silence()
        if reason:
            self._until = self._uptime() + PAUSE
        return reason

    @property
    def lasts(self) -> bool:
        """Whether the clock is doubtful still, by what `look` has said last."""
        return self._until is not None and self._uptime() < self._until

    def _jump(self) -> str:
        booted = self._now() - self._uptime()
        moved, self._booted = booted - self._booted, booted
        if abs(moved) <= JUMP:
            return ""
        return f"it was set {'forward' if moved > timedelta() else 'back'} by {in_words(abs(moved))}"

    def _silence(self) -> str:
        """By the clock, and only at the first look: then what is in the log is of this daemon's time."""
        last, self._last_event_time = self._last_event_time, None
        silence = self._now() - last if last else timedelta()
        if silence <= SILENCE:
            return ""
        return f"by it, nothing has happened here for {silence.days} days"
