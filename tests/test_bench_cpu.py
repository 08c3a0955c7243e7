"""The CPU time of another process."""

import subprocess
import sys

import pytest
from bench.cpu import cpu_seconds

_BUSY = """
import resource, sys, threading
thread = threading.Thread(target=lambda: sum(range(3_000_000)))
thread.start()
thread.join()
usage = resource.getrusage(resource.RUSAGE_SELF)
print(usage.ru_utime + usage.ru_stime, flush=True)
sys.stdin.read()
"""


def test_what_all_threads_used_counts() -> None:
    """Those that have ended, too: it is what the process itself is told by getrusage(2)."""
    with subprocess.Popen([sys.executable, "-c", _BUSY], stdin=-1, stdout=-1) as process:
        assert process.stdout
        used = float(process.stdout.readline())
        assert cpu_seconds(process.pid) >= used - 0.001
        process.communicate()


def test_a_process_that_is_gone_has_none() -> None:
    """There is no figure of what can't be asked."""
    with subprocess.Popen(["true"]) as process:
        pass
    with pytest.raises(OSError):
        cpu_seconds(process.pid)
