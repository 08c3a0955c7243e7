"""The memory of a process, as the kernel counts it: proc(5), /proc/PID/status."""

from pathlib import Path
from typing import NamedTuple

_RESET_PEAK = "5"
"""What makes the kernel start the peak anew: proc(5), /proc/PID/clear_refs."""


class Memory(NamedTuple):
    """What is resident, and the most that was since the peak was reset; in KiB."""

    resident: int
    peak: int


def memory_of(process: int) -> Memory:
    """Read it."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return Memory(*(int(fields[name].removesuffix("kB")) for name in ("VmRSS", "VmHWM")))


def reset_peak(process: int) -> None:
    """Start the peak anew."""
    Path(f"/proc/{process}/clear_refs").write_text(_RESET_PEAK)
