"""The CPU time of another process, to the nanosecond: clock_getcpuclockid(3), which Python lacks."""

import time

_OF_ALL_THREADS = 2
"""CPUCLOCK_SCHED of the kernel's include/linux/posix-timers.h, for a process as a whole."""


def cpu_seconds(process: int) -> float:
    """Return what all threads of a process have used so far, those that have ended as well."""
    return time.clock_gettime(~process << 3 | _OF_ALL_THREADS)
