"""The daemon killed at each of its named points and started again: nothing is lost, nothing runs twice."""

import random
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from releasephase.v1.release_pb2 import Mount
from releasephase.v1.release_service_pb2 import EnvironmentVariable, StartReleaseRequest
from support.app import STDERR, STDOUT, Outcome, release_request, seconds
from support.docker_engine import Engine
from support.process import DaemonProcess
from support.storm.plan import MODES
from support.storm.scripts import Script, long_lines, numbered, ragged

crash = pytest.importorskip("released.crash")

VARIABLE = "RELEASED_CRASH_AT"

REPEATED = ("command", "gate")
"""A point whose name has one of these is passed for each command: it is tried at the second one, too."""

AFTER_A_RESTART = ("adopt", "recover", "resum")
"""A point whose name has one of these is passed when a daemon finds a release that is under way."""

TIMEOUT = 4.0
"""Seconds that the command gets which hangs."""

SCRIPTS = (
    numbered(random.Random(1), "first"),  # noqa: S311 - not for secrets
    long_lines(random.Random(2), "second"),  # noqa: S311
    ragged(random.Random(3), "third"),  # noqa: S311
)


def crashes() -> Iterator[Any]:
    """What the variable is set to: each point, and those that come again a second time."""
    for point in crash.CrashPoint:
        yield pytest.param(point.value, id=point.value)
        if any(word in point.value for word in REPEATED) and "stop" not in point.value:
            yield pytest.param(f"{point.value}:2", id=f"{point.value}-2")


@pytest.fixture
def daemon(engine: Engine) -> Iterator[DaemonProcess]:
    """A daemon that has not been started yet, with its files in memory, as those in /run are."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder:
        daemon = DaemonProcess(Path(folder), engine.url, "[releases]\nstop_grace = 1\n")
        try:
            yield daemon
        finally:
            if daemon.is_alive:
                daemon.terminate()


def release(image: str, folder: Path, mode: str, scripts: tuple[Script, ...]) -> StartReleaseRequest:
    """A release of which each command leaves a mark, named by a value that only its environment has."""
    lines = [f"echo $MARK {index} >> /m/marks; {script.line}" for index, script in enumerate(scripts)]
    return release_request(
        *lines,
        image=image,
        env=[EnvironmentVariable(name="MARK", value="ran", secret=True)],
        mounts=[Mount(source=str(folder), target="/m")],
        request_id=str(uuid4()),
        container_mode=mode,
    )


def crash_on_the_way(daemon: DaemonProcess, at: str, request: StartReleaseRequest) -> None:
    """Start the release in a daemon that dies while it sees it through."""
    daemon.start({VARIABLE: at})
    with suppress(grpc.RpcError):  # it may have died before it answered
        daemon.stub.StartRelease(request)
    daemon.wait()


def crash_when_found(daemon: DaemonProcess, at: str, request: StartReleaseRequest) -> None:
    """Kill the daemon in the middle of the release, and let the next one die when it finds that."""
    daemon.start()
    name = daemon.stub.StartRelease(request).name
    daemon.until_output(name, b"first out 1\n")
    daemon.kill()
    daemon.launch({VARIABLE: at})
    daemon.wait()


def end_after(daemon: DaemonProcess, at: str, request: StartReleaseRequest) -> Outcome:
    """Let the daemon crash, start it again, ask again for the same release, and follow it to its end."""
    found = any(word in at for word in AFTER_A_RESTART)
    (crash_when_found if found else crash_on_the_way)(daemon, at, request)
    daemon.start()
    return daemon.outcome(daemon.stub.StartRelease(request).name)


def assert_output(outcome: Outcome, scripts: tuple[Script, ...]) -> None:
    for index, script in enumerate(scripts):
        assert outcome.output(index, STDOUT) == script.stdout
        assert outcome.output(index, STDERR) == script.stderr
    assert outcome.output(None) == b""


def assert_nothing_left(daemon: DaemonProcess, engine: Engine) -> None:
    assert not engine.release_containers()
    assert not list(daemon.secrets.iterdir())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at", [case for case in crashes() if "stop" not in case.values[0]])
def test_a_crash_at_any_point_changes_nothing(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, at: str, mode: str
) -> None:
    """The release succeeds, each command has run once, and each byte that it wrote is stored once."""
    outcome = end_after(daemon, at, release(busybox_image, tmp_path, mode, SCRIPTS))
    assert (outcome.state, outcome.message) == ("SUCCEEDED", ""), daemon.log
    assert outcome.command_states == ["SUCCEEDED"] * len(SCRIPTS)
    assert (tmp_path / "marks").read_text().splitlines() == ["ran 0", "ran 1", "ran 2"]
    assert_output(outcome, SCRIPTS)
    assert_nothing_left(daemon, engine)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at", [case for case in crashes() if "stop" in case.values[0]])
def test_a_crash_while_a_command_is_stopped_changes_nothing(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, at: str, mode: str
) -> None:
    """The command has timed out, as if nothing had happened, and the one behind it never runs."""
    hanging = SCRIPTS[1].then("trap '' TERM; sleep 1000")
    request = release(busybox_image, tmp_path, mode, (SCRIPTS[0], hanging, SCRIPTS[2]))
    request.commands[1].timeout.CopyFrom(seconds(TIMEOUT))
    outcome = end_after(daemon, at, request)
    assert (outcome.state, outcome.cause) == ("FAILED", "COMMAND_TIMED_OUT"), daemon.log
    assert outcome.command_states == ["SUCCEEDED", "TIMED_OUT", "SKIPPED"]
    assert (tmp_path / "marks").read_text().splitlines() == ["ran 0", "ran 1"]
    assert_output(outcome, (SCRIPTS[0], SCRIPTS[1]))
    assert_nothing_left(daemon, engine)
