"""Moments from which deadlines count: by a clock that nobody sets, and that daemons share."""

import time
from datetime import timedelta
from functools import cache
from pathlib import Path

import msgspec


class Instant(msgspec.Struct, frozen=True):
    """A moment of one boot of the host: seconds of CLOCK_BOOTTIME, clock_gettime(2)."""

    boot_id: str
    uptime: float

    def elapsed(self) -> timedelta | None:
        """The time since then; None if the host was booted in between."""
        if self.boot_id != _boot_id():
            return None
        return timedelta(seconds=time.clock_gettime(time.CLOCK_BOOTTIME) - self.uptime)


def now() -> Instant:
    """This moment."""
    return Instant(_boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME))


@cache
def _boot_id() -> str:
    """A number that the kernel makes anew with each boot, random(4)."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
