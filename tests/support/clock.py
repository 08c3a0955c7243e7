"""A host's clock that goes on, and is set, when it is said that it does."""

from datetime import UTC, datetime, timedelta


class Clock:
    """What the host's clock says, and for how long the host has been up."""

    def __init__(self) -> None:
        self._now = datetime(2026, 1, 31, tzinfo=UTC)
        self._uptime = timedelta(minutes=1)

    def now(self) -> datetime:
        return self._now

    def uptime(self) -> timedelta:
        return self._uptime

    def goes_on(self, time: timedelta) -> None:
        self._now += time
        self._uptime += time

    def is_set(self, forward: timedelta) -> None:
        self._now += forward
