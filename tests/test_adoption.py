"""Releases under way go on when the daemon is killed, or stopped, and started again."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from releasephase.v1.release_event_pb2 import CommandOutput, ReleaseEvent
from releasephase.v1.release_pb2 import (
    CONTAINER_MODE_PER_COMMAND,
    CONTAINER_MODE_PER_RELEASE,
    CommandRun,
    Failure,
    Mount,
    Release,
)
from releasephase.v1.release_service_pb2 import (
    CancelReleaseRequest,
    GetReleaseRequest,
    ReleaseCommand,
    StartReleaseRequest,
    WatchReleaseRequest,
)
from support.docker_engine import Engine
from support.process import DaemonProcess

MODES = [CONTAINER_MODE_PER_RELEASE, CONTAINER_MODE_PER_COMMAND]
STUBBORN = "trap '' TERM; echo up; while :; do sleep 1; done"
LINES = "i=0; while [ $i -lt {count} ]; do echo line $i; echo error $i >&2; i=$((i + 1)); done"


@pytest.fixture
def daemon(engine: Engine, busybox_image: str) -> Iterator[DaemonProcess]:
    """A daemon that can be killed and started again on the same files, which are in memory as /run is."""
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name,
        DaemonProcess(Path(name), engine.url) as daemon,
    ):
        yield daemon


@pytest.fixture(params=MODES, ids=["per_release", "per_command"])
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


def start(daemon: DaemonProcess, image: str, *lines: str, timeout: float = 0, **fields: Any) -> Release:
    commands = [ReleaseCommand(label=f"command {index}", line=line) for index, line in enumerate(lines)]
    for command in commands if timeout else ():
        command.timeout.CopyFrom(Duration(nanos=int(timeout % 1 * 1e9), seconds=int(timeout)))
    return daemon.stub.StartRelease(
        StartReleaseRequest(application="shop", environment="live", image=image, commands=commands, **fields)
    )


def events_of(daemon: DaemonProcess, name: str) -> list[ReleaseEvent]:
    return list(daemon.stub.WatchRelease(WatchReleaseRequest(name=name)))


def get(daemon: DaemonProcess, name: str) -> Release:
    return daemon.stub.GetRelease(GetReleaseRequest(name=name))


def until(daemon: DaemonProcess, name: str, kind: str, data: bytes = b"") -> None:
    """Follow a release until an event of this kind (and, for output, with these bytes)."""
    call = daemon.stub.WatchRelease(WatchReleaseRequest(name=name))
    for event in call:
        if event.WhichOneof("payload") == kind and data in event.command_output.data:
            call.cancel()
            return
    raise AssertionError(f"{name} ended without {kind} {data!r}")


def kinds(events: list[ReleaseEvent]) -> list[str]:
    return [str(event.WhichOneof("payload")) for event in events]


def output(events: list[ReleaseEvent], stream: Any, index: int = 0) -> bytes:
    return b"".join(
        event.command_output.data
        for event in events
        if event.WhichOneof("payload") == "command_output"
        and (event.command_output.stream, event.command_output.command_index) == (stream, index)
    )


def test_a_killed_daemon_takes_up_the_output_where_it_was(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, mode: Any
) -> None:
    """In the middle of output, several times: every line once, in both streams, and the release succeeds."""
    mounts = [Mount(source=str(tmp_path), target="/m")]
    line = (
        "for n in 0 1 2 3; do " + LINES.format(count=2000) + "; until [ -e /m/$n ]; do sleep 0.05; done; done"
    )
    release = start(daemon, busybox_image, line, "echo last", mounts=mounts, container_mode=mode)
    for number in range(4):
        until(daemon, release.name, "command_output", b"line 1")
        daemon.kill()
        (tmp_path / str(number)).touch()
        daemon.start()
    events = events_of(daemon, release.name)
    lines = [b"line %d\n" % i for i in range(2000)]
    assert get(daemon, release.name).state == Release.STATE_SUCCEEDED, get(daemon, release.name).failure
    assert output(events, CommandOutput.STREAM_STDOUT) == b"".join(lines) * 4
    assert output(events, CommandOutput.STREAM_STDERR) == b"".join(lines).replace(b"line", b"error") * 4
    assert output(events, CommandOutput.STREAM_STDOUT, 1) == b"last\n"
    assert kinds(events).count("release_adopted") == 4
    assert kinds(events).count("command_started") == 2
    assert not {"output_realigned", "output_lost"} & set(kinds(events))
    assert not engine.release_containers()


def test_sigterm_leaves_the_container_running_and_the_release_goes_on(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, mode: Any
) -> None:
    """An upgrade of the daemon costs a deployment nothing: exit code 0, and the container is adopted."""
    mounts = [Mount(source=str(tmp_path), target="/m")]
    line = "echo up; until [ -e /m/go ]; do sleep 0.05; done; echo done"
    release = start(daemon, busybox_image, line, "echo last", mounts=mounts, container_mode=mode)
    until(daemon, release.name, "command_output", b"up\n")
    assert daemon.terminate() == 0
    (container,) = engine.release_containers()
    assert "running" in container
    (tmp_path / "go").touch()
    daemon.start()
    events = events_of(daemon, release.name)
    assert get(daemon, release.name).state == Release.STATE_SUCCEEDED
    assert output(events, CommandOutput.STREAM_STDOUT) == b"up\ndone\n"


def test_a_command_that_ended_while_the_daemon_was_away_has_its_true_exit_code(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, mode: Any
) -> None:
    """Its last words and its exit code are found in the engine's log; its time is when it ended."""
    mounts = [Mount(source=str(tmp_path), target="/m")]
    line = "echo up; until [ -e /m/go ]; do sleep 0.05; done; echo bye; exit 7"
    release = start(daemon, busybox_image, line, "echo never", mounts=mounts, container_mode=mode)
    until(daemon, release.name, "command_output", b"up\n")
    daemon.kill()
    (tmp_path / "go").touch()
    engine.http.request("POST", f"/containers/{container_of(engine, release)}/wait")
    daemon.start()
    events = events_of(daemon, release.name)
    ended = get(daemon, release.name)
    assert (ended.failure.cause, ended.command_runs[0].exit_code) == (Failure.CAUSE_COMMAND_FAILED, 7)
    assert states(ended) == ["FAILED", "SKIPPED"]
    assert output(events, CommandOutput.STREAM_STDOUT) == b"up\nbye\n"
    adopted = next(event for event in events if event.HasField("release_adopted"))
    assert ended.command_runs[0].end_time.ToDatetime() < adopted.event_time.ToDatetime()


def test_a_deadline_is_enforced_late_rather_than_never(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, mode: Any
) -> None:
    """A daemon that was down when a command's time was up stops it at its start, and says how late."""
    line = "echo up; sleep 2; echo late; sleep 1000"
    release = start(daemon, busybox_image, line, "true", timeout=1, container_mode=mode)
    until(daemon, release.name, "command_output", b"up\n")
    daemon.kill()
    await_log(engine, release, b"late")
    daemon.start()
    events_of(daemon, release.name)
    ended = get(daemon, release.name)
    assert ended.failure.cause == Failure.CAUSE_COMMAND_TIMED_OUT
    assert "later" in ended.failure.message
    assert states(ended) == ["TIMED_OUT", "SKIPPED"]


def test_a_command_that_exceeded_its_timeout_while_nobody_looked_has_not_succeeded(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, mode: Any
) -> None:
    """It ended by itself, too late: the exit code is kept, and the release fails."""
    line = "echo up; sleep 2; echo done"
    release = start(daemon, busybox_image, line, "true", timeout=1, container_mode=mode)
    until(daemon, release.name, "command_output", b"up\n")
    daemon.kill()
    await_log(engine, release, b"done")
    daemon.start()
    events = events_of(daemon, release.name)
    ended = get(daemon, release.name)
    assert ended.failure.cause == Failure.CAUSE_COMMAND_TIMED_OUT
    assert ended.command_runs[0].exit_code == 0
    assert states(ended) == ["TIMED_OUT", "SKIPPED"]
    assert output(events, CommandOutput.STREAM_STDOUT) == b"up\ndone\n"


def test_a_kill_during_the_grace_does_not_undo_a_timeout(
    daemon: DaemonProcess, busybox_image: str, mode: Any
) -> None:
    """The grace counts from the first SIGTERM; then the command is killed, and recorded as timed out."""
    release = start(
        daemon,
        busybox_image,
        "trap '' TERM; echo up; while :; do sleep 1; done",
        timeout=1,
        container_mode=mode,
    )
    until(daemon, release.name, "signal_sent")
    daemon.kill()
    daemon.start()
    events_of(daemon, release.name)
    ended = get(daemon, release.name)
    assert ended.failure.cause == Failure.CAUSE_COMMAND_TIMED_OUT
    assert (states(ended), ended.command_runs[0].signal) == (["TIMED_OUT"], 9)


def test_a_cancel_is_not_forgotten(daemon: DaemonProcess, busybox_image: str, mode: Any) -> None:
    """It was recorded before the daemon was killed, and the release ends CANCELLED."""
    release = start(daemon, busybox_image, STUBBORN, container_mode=mode)
    until(daemon, release.name, "command_output", b"up\n")
    daemon.stub.CancelRelease(CancelReleaseRequest(name=release.name))
    daemon.kill()
    daemon.start()
    events_of(daemon, release.name)
    ended = get(daemon, release.name)
    assert (ended.state, states(ended)) == (Release.STATE_CANCELLED, ["CANCELLED"])


def test_an_adopted_release_can_be_cancelled(daemon: DaemonProcess, busybox_image: str, mode: Any) -> None:
    """As any other."""
    release = start(daemon, busybox_image, "echo up; sleep 1000", container_mode=mode)
    until(daemon, release.name, "command_output", b"up\n")
    daemon.kill()
    daemon.start()
    daemon.stub.CancelRelease(CancelReleaseRequest(name=release.name))
    events_of(daemon, release.name)
    ended = get(daemon, release.name)
    assert (ended.state, states(ended)) == (Release.STATE_CANCELLED, ["CANCELLED"])


def test_a_container_that_somebody_removed_meanwhile_is_no_success(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, mode: Any
) -> None:
    """How its command ended was not seen: it is not run again, and nothing after it."""
    release = start(daemon, busybox_image, "echo up; sleep 1000", "true", container_mode=mode)
    until(daemon, release.name, "command_output", b"up\n")
    daemon.kill()
    engine.http.request("DELETE", f"/containers/{container_of(engine, release)}", {"force": "1"})
    daemon.start()
    events_of(daemon, release.name)
    ended = get(daemon, release.name)
    assert ended.failure.cause == Failure.CAUSE_CONTAINER_FAILED
    assert states(ended) == ["FAILED", "SKIPPED"]
    assert not ended.command_runs[0].HasField("exit_code")


def test_a_container_that_somebody_killed_meanwhile_is_no_success(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, mode: Any
) -> None:
    """Neither is one whose command made the best of SIGTERM and exited with 0."""
    line = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"
    release = start(daemon, busybox_image, line, "true", container_mode=mode)
    until(daemon, release.name, "command_output", b"up\n")
    daemon.kill()
    engine.http.request("POST", f"/containers/{container_of(engine, release)}/stop")
    daemon.start()
    events_of(daemon, release.name)
    ended = get(daemon, release.name)
    assert ended.failure.cause == Failure.CAUSE_CONTAINER_FAILED
    assert states(ended) == ["FAILED", "SKIPPED"]


def test_a_container_that_somebody_stopped_fails_what_may_fail(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, mode: Any
) -> None:
    """Also if the daemon ends between the end of its command and that of the release: nothing runs then."""
    line = "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done"
    commands = [
        ReleaseCommand(label="may fail", line=line, allow_failure=True),
        ReleaseCommand(label="then", line="true"),
    ]
    release = daemon.stub.StartRelease(
        StartReleaseRequest(
            application="shop",
            environment="live",
            image=busybox_image,
            commands=commands,
            container_mode=mode,
        )
    )
    until(daemon, release.name, "command_output", b"up\n")
    engine.http.request("POST", f"/containers/{container_of(engine, release)}/kill", {"signal": "TERM"})
    until(daemon, release.name, "command_finished")
    daemon.kill()
    daemon.start()
    events_of(daemon, release.name)
    ended = get(daemon, release.name)
    assert (ended.failure.cause, ended.failure.command_index) == (Failure.CAUSE_CONTAINER_FAILED, 0)
    assert ended.failure.message.startswith("SIGTERM came for the container while the command ran")
    assert (states(ended), ended.command_runs[0].exit_code) == (["FAILED", "SKIPPED"], 7)


def test_output_of_any_form_is_taken_up_exactly(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, mode: Any
) -> None:
    """Long lines, whose newlines the engine's log drops; empty ones; no text; no newline at the end."""
    mounts = [Mount(source=str(tmp_path), target="/m")]
    piece = (
        "head -c 20000 /dev/zero | tr '\\0' x; echo; head -c 16384 /dev/zero | tr '\\0' y; echo; echo; "
        "head -c 32768 /dev/zero | tr '\\0' z; echo; printf 'a\\377\\n\\036b'; printf 'progr'; "
    )
    line = piece + "until [ -e /m/go ]; do sleep 0.05; done; printf 'ess\\n'; " + piece
    release = start(daemon, busybox_image, line, mounts=mounts, container_mode=mode)
    until(daemon, release.name, "command_output", b"progr")
    daemon.kill()
    (tmp_path / "go").touch()
    daemon.start()
    events = events_of(daemon, release.name)
    whole = b"x" * 20000 + b"\n" + b"y" * 16384 + b"\n\n" + b"z" * 32768 + b"\na\xff\n\x1ebprogr"
    assert output(events, CommandOutput.STREAM_STDOUT) == whole + b"ess\n" + whole
    assert get(daemon, release.name).state == Release.STATE_SUCCEEDED
    assert not {"output_realigned", "output_lost"} & set(kinds(events))


def states(release: Release) -> list[str]:
    return [CommandRun.State.Name(run.state).removeprefix("STATE_") for run in release.command_runs]


def container_of(engine: Engine, release: Release) -> str:
    filters = f'{{"label": ["releasephase.release={release.name}"]}}'
    (container,) = engine.http.json("GET", "/containers/json", {"all": "1", "filters": filters})
    return str(container["Id"])


def await_log(engine: Engine, release: Release, data: bytes) -> None:
    """Wait until the engine's own log of the container has this."""
    path = f"/containers/{container_of(engine, release)}/logs"
    while data not in engine.http.request("GET", path, {"stdout": "1"}):
        pass
