"""Where a test makes the daemon die: at the named point, that time, and nowhere else."""

import os
import signal
import subprocess
import sys

import pytest

from released.crash import VARIABLE, CrashPoint

POINT, OTHER = CrashPoint.COMMAND_RECORDED, CrashPoint.COMMAND_LET_GO

PASSING = f"""
from released.crash import CrashPoint, crash_point
for number in range(1, 4):
    crash_point(CrashPoint.{OTHER.name})
    print(f"before {{number}}", flush=True)
    crash_point(CrashPoint.{POINT.name})
    print(f"after {{number}}", flush=True)
"""
"""A program that passes two points, three times each."""


def run(setting: str | None) -> subprocess.CompletedProcess[str]:
    """Run the program with the variable set, or not."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if setting is not None:
        environment[VARIABLE] = setting
    command = [sys.executable, "-c", PASSING]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("setting", "passed"), [("", 1), (":1", 1), (":2", 2), (":3", 3)])
def test_process_dies_at_the_nth_passing(setting: str, passed: int) -> None:
    """At once, as if it had been killed: not a line is written any more."""
    ended = run(f"{POINT}{setting}")
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.splitlines()[-1] == f"before {passed}"


@pytest.mark.parametrize("setting", [None, "", f"{POINT}:4", str(CrashPoint.END_STORED)])
def test_process_lives_on(setting: str | None) -> None:
    """Without the variable, or with a point that it does not pass, or not so often."""
    ended = run(setting)
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "after 3")


@pytest.mark.parametrize("setting", ["nowhere", f"{POINT}:often", f"{POINT}:0", f"{POINT}:-1", ":1"])
def test_setting_that_means_nothing_is_an_error_at_the_start(setting: str) -> None:
    """A test that kills nothing would show nothing."""
    ended = run(setting)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "ValueError" in ended.stderr
