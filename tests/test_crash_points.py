"""The daemon killed at each of its named points and started again: nothing is lost, nothing runs twice."""

import random
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from released.crash import VARIABLE, CrashPoint
from releasephase.v1.release_pb2 import OUTCOME_ABANDONED, ContainerMode, Mount
from releasephase.v1.release_service_pb2 import (
    EnvironmentVariable,
    ListReleasesRequest,
    ReportOutcomeRequest,
    StartReleaseRequest,
)
from support.app import STDERR, STDOUT, Outcome, release_request, seconds
from support.docker_engine import Engine
from support.process import DaemonProcess
from support.storm.plan import MODES
from support.storm.scripts import Script, long_lines, numbered, ragged

AGAIN = (
    CrashPoint.COMMAND_RECORDED,
    CrashPoint.COMMAND_LET_GO,
    CrashPoint.OUTPUT_STORED,
    CrashPoint.COMMAND_ENDED,
)
"""What is passed for each command: it is tried with the second one, too."""

STOPPING = [point for point in CrashPoint if point.name.startswith("STOP")]
"""What is passed only when a command is stopped."""

PRUNING = [point for point in CrashPoint if point.name.startswith("PRUNING")]
"""What no release passes: test_daemon_retention.py tries them."""

ROLLING_BACK = CrashPoint.ROLLBACK_READY
"""What is passed only when a release is rolled back."""

ELSEWHERE = (
    CrashPoint.OUTCOME_STORED,
    CrashPoint.PROCFILE_CONTAINER_CREATED,
    CrashPoint.SETTINGS_STORED,
)
"""Not passed by these: see test_daemon_outcome.py, test_procfile.py and test_daemon_settings_releases.py."""

WORKING = [point for point in CrashPoint if point not in (*STOPPING, *PRUNING, *ELSEWHERE, ROLLING_BACK)]

OF_BOTH = [point for point in WORKING if point not in (CrashPoint.BEFORE_ACCEPT, CrashPoint.AFTER_ACCEPT)]
"""What a release passes and its rollback, too; only the rollback comes to the end of its commands."""

TIMEOUT = 4.0
"""Seconds that the command gets which hangs."""

SCRIPTS = (
    numbered(random.Random(2), "first"),  # noqa: S311 - not for secrets
    long_lines(random.Random(8), "second"),  # noqa: S311
    ragged(random.Random(2), "third"),  # noqa: S311
)


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


def release(
    image: str, folder: Path, mode: ContainerMode.ValueType, scripts: tuple[Script, ...]
) -> StartReleaseRequest:
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


def attempt(daemon: DaemonProcess, at: str, request: StartReleaseRequest) -> Outcome | None:
    """Ask a daemon for the release that dies on passing a point, be it in its rollback: None if it did."""
    with suppress(grpc.RpcError):
        if daemon.starts({VARIABLE: at}):
            outcome = daemon.outcome(daemon.stub.StartRelease(request).name)
            if outcome.release.rollback:
                daemon.outcome(outcome.release.rollback)
            return outcome
    assert daemon.wait() == -signal.SIGKILL, daemon.log
    return None


def end_after(daemon: DaemonProcess, at: str, request: StartReleaseRequest, crashes: int = 1) -> Outcome:
    """Ask for the release until it ends, the first times from daemons that die on passing a point.

    It is the same request each time, as that of a client that was not answered.
    """
    assert attempt(daemon, at, request) is None, f"the daemon did not pass {at}"
    for _ in range(crashes - 1):
        if outcome := attempt(daemon, at, request):
            return outcome
    daemon.start()
    return daemon.outcome(daemon.stub.StartRelease(request).name)


def assert_output(outcome: Outcome, scripts: tuple[Script, ...]) -> None:
    for index, script in enumerate(scripts):
        assert outcome.output(index, STDOUT) == script.stdout
        assert outcome.output(index, STDERR) == script.stderr
    assert outcome.output(None) == b""


def assert_nothing_left(outcome: Outcome, daemon: DaemonProcess, engine: Engine) -> None:
    ours = outcome.release.name[-12:]  # part of its containers' names
    assert not [container for container in engine.release_containers() if ours in container]
    assert not list(daemon.secrets.iterdir())


def assert_succeeded(outcome: Outcome, daemon: DaemonProcess, engine: Engine, folder: Path) -> None:
    assert (outcome.state, outcome.message) == ("SUCCEEDED", ""), daemon.log
    assert outcome.command_states == ["SUCCEEDED"] * len(SCRIPTS)
    assert (folder / "marks").read_text().splitlines() == ["ran 0", "ran 1", "ran 2"]
    assert_output(outcome, SCRIPTS)
    assert_nothing_left(outcome, daemon, engine)


@pytest.mark.parametrize("mode", MODES, ids=ContainerMode.Name)
@pytest.mark.parametrize("at", [*WORKING, *(f"{point}:2" for point in AGAIN)])
def test_a_crash_at_any_point_changes_nothing(
    daemon: DaemonProcess,
    engine: Engine,
    busybox_image: str,
    tmp_path: Path,
    at: str,
    mode: ContainerMode.ValueType,
) -> None:
    """The release succeeds, each command has run once, and each byte that it wrote is stored once."""
    outcome = end_after(daemon, at, release(busybox_image, tmp_path, mode, SCRIPTS))
    assert_succeeded(outcome, daemon, engine, tmp_path)


@pytest.mark.parametrize("at", WORKING)
def test_the_daemon_that_goes_on_crashes_at_the_same_point(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, at: str
) -> None:
    """Or sees the release through, where it does not come to that point again; in any case as above."""
    request = release(busybox_image, tmp_path, MODES[0], SCRIPTS)
    outcome = end_after(daemon, at, request, crashes=2)
    assert_succeeded(outcome, daemon, engine, tmp_path)


@pytest.mark.parametrize("mode", MODES, ids=ContainerMode.Name)
@pytest.mark.parametrize("at", [*STOPPING, f"{CrashPoint.STOP_RECORDED}:2"])
def test_a_crash_while_a_command_is_stopped_changes_nothing(
    daemon: DaemonProcess,
    engine: Engine,
    busybox_image: str,
    tmp_path: Path,
    at: str,
    mode: ContainerMode.ValueType,
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
    assert_nothing_left(outcome, daemon, engine)


@pytest.mark.parametrize(
    "at",
    [
        *WORKING,
        ROLLING_BACK,
        *(f"{point}:2" for point in OF_BOTH if point is not CrashPoint.RESULT_STORED),
        *(f"{point}:3" for point in AGAIN),
    ],
)
def test_a_crash_around_a_rollback_changes_nothing(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, at: str
) -> None:
    """It comes once, has the values, and undoes once what succeeded; before it, or in it, or at its end."""
    request = release(busybox_image, tmp_path, MODES[0], (SCRIPTS[0], SCRIPTS[0].then("exit 3")))
    for index, command in enumerate(request.commands):
        command.rollback = f"echo $MARK -{index} >> /m/marks; {SCRIPTS[2].line}"
    outcome = end_after(daemon, at, request)
    assert (outcome.state, outcome.cause) == ("FAILED", "COMMAND_FAILED"), daemon.log
    assert outcome.command_states == ["SUCCEEDED", "FAILED"]
    rollback = daemon.outcome(outcome.release.rollback)
    assert (rollback.state, rollback.message, rollback.command_states) == ("SUCCEEDED", "", ["SUCCEEDED"])
    assert (tmp_path / "marks").read_text().splitlines() == ["ran 0", "ran 1", "ran -0"]
    assert_output(rollback, (SCRIPTS[2],))
    assert_nothing_left(outcome, daemon, engine)
    assert_nothing_left(rollback, daemon, engine)
    assert len(daemon.stub.ListReleases(ListReleasesRequest()).releases) == 2


@pytest.mark.parametrize("at", [ROLLING_BACK, CrashPoint.OUTCOME_STORED, CrashPoint.END_STORED])
def test_a_crash_while_an_abandoned_release_is_rolled_back(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, at: CrashPoint
) -> None:
    """The report that was not answered is made again: it is recorded once, and rolls back once."""
    request = release(busybox_image, tmp_path, MODES[0], (SCRIPTS[0],))
    request.commands[0].rollback = "echo $MARK -0 >> /m/marks"
    daemon.start()
    name = daemon.outcome(daemon.stub.StartRelease(request).name).release.name
    daemon.terminate()
    daemon.start({VARIABLE: at})
    report = ReportOutcomeRequest(
        name=name, outcome=OUTCOME_ABANDONED, run_rollback=True, env=request.env, reason="health check"
    )
    with suppress(grpc.RpcError):
        daemon.stub.ReportOutcome(report)
    assert daemon.wait() == -signal.SIGKILL, daemon.log
    daemon.start()
    reported = daemon.stub.ReportOutcome(report)
    assert daemon.outcome(reported.rollback).state == "SUCCEEDED"
    assert (tmp_path / "marks").read_text().splitlines() == ["ran 0", "ran -0"]
    assert not list(daemon.secrets.iterdir())
    assert len(daemon.stub.ListReleases(ListReleasesRequest()).releases) == 2
