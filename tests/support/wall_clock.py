"""A wall clock that jumps: libfaketime, preloaded into the programs that a test starts.

Only the time of day is faked. CLOCK_MONOTONIC and CLOCK_BOOTTIME stay the machine's.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from support import debian


@dataclass(frozen=True)
class WallClock:
    """The wall clock of every process that has `environment`."""

    offset: Path

    @property
    def environment(self) -> dict[str, str]:
        (library,) = debian.unpacked("libfaketime").glob("usr/lib/*/faketime/libfaketimeMT.so.1")
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self.offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, offset: timedelta) -> None:
        """Let the clock be so far from the machine's, from the next look at it on."""
        new = self.offset.with_suffix(".new")
        new.write_text(f"{offset.total_seconds():+.0f}\n")
        new.rename(self.offset)
