"""Releases whose time was up, or that were cancelled, while the daemon was away: nothing runs after that."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from released.crash import VARIABLE, CrashPoint
from released.model.events import CancelRequested
from releasephase.v1.release_pb2 import (
    CONTAINER_MODE_PER_COMMAND,
    CONTAINER_MODE_PER_RELEASE,
    ContainerMode,
    Mount,
    Release,
)
from releasephase.v1.release_service_pb2 import CancelReleaseRequest
from support import audit_log
from support.app import STDOUT, Outcome, release_request
from support.docker_engine import Engine
from support.process import DaemonProcess

MODES = [CONTAINER_MODE_PER_RELEASE, CONTAINER_MODE_PER_COMMAND]


@pytest.fixture
def daemon(engine: Engine) -> Iterator[DaemonProcess]:
    """A daemon that has not been started yet, with its files in memory, as those in /run are."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder:
        daemon = DaemonProcess(Path(folder), engine.url, "[releases]\nstop_grace = 60\n")
        try:
            yield daemon
        finally:
            if daemon.is_alive:
                daemon.terminate()


@pytest.fixture(params=MODES, ids=ContainerMode.Name)
def mode(request: pytest.FixtureRequest) -> Any:
    return request.param


def start(daemon: DaemonProcess, image: str, folder: Path, *lines: str, **fields: Any) -> Release:
    mounts = [Mount(source=str(folder), target="/m")]
    return daemon.stub.StartRelease(release_request(*lines, image=image, mounts=mounts, **fields))


def killed_before_the_gate(
    daemon: DaemonProcess, image: str, folder: Path, mode: Any, **fields: Any
) -> Release:
    """A release whose daemon died after it had recorded a command's start, and before it let it go."""
    assert daemon.starts({VARIABLE: CrashPoint.COMMAND_RECORDED})
    release = start(daemon, image, folder, "touch /m/ran", "touch /m/then", container_mode=mode, **fields)
    daemon.wait()
    return release


def until_uptime(seconds: float) -> None:
    """Wait until the host has been up for so long, by the clock that the daemon goes by."""
    while (left := seconds - time.clock_gettime(time.CLOCK_BOOTTIME)) > 0:
        time.sleep(left)


def until(daemon: DaemonProcess, release: Release, kind: str) -> None:
    """Follow a release until an event of this kind."""
    watch = daemon.watch(release.name)
    assert any(event.WhichOneof("payload") == kind for event in watch)
    watch.cancel()


def assert_never_ran(outcome: Outcome, engine: Engine, folder: Path, state: str) -> None:
    assert list(folder.iterdir()) == []
    assert outcome.command_states == [state, "SKIPPED"]
    assert not outcome.release.command_runs[0].HasField("exit_code")
    assert not outcome.release.command_runs[0].signal
    assert not engine.release_containers()


def test_a_command_whose_time_is_up_before_it_was_let_go_never_is(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, mode: Any
) -> None:
    """Its start was recorded, and the daemon was away for longer than it may take."""
    release = killed_before_the_gate(daemon, busybox_image, tmp_path, mode, timeout=1)
    until_uptime(time.clock_gettime(time.CLOCK_BOOTTIME) + 1)
    daemon.start()
    outcome = daemon.outcome(release.name)
    assert (outcome.state, outcome.cause) == ("FAILED", "COMMAND_TIMED_OUT"), outcome.message
    assert "before it was let go" in outcome.message
    assert_never_ran(outcome, engine, tmp_path, "TIMED_OUT")


async def test_a_release_that_is_cancelled_before_its_command_was_let_go_runs_nothing(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, tmp_path: Path, mode: Any
) -> None:
    """The request was recorded behind the command's start, and then the daemon was killed."""
    release = killed_before_the_gate(daemon, busybox_image, tmp_path, mode)
    async with audit_log.opened(daemon.audit) as audit:
        await audit.append(release.name.removeprefix("releases/"), CancelRequested())
    daemon.start()
    outcome = daemon.outcome(release.name)
    assert (outcome.state, outcome.message) == ("CANCELLED", "")
    assert_never_ran(outcome, engine, tmp_path, "CANCELLED")


@pytest.mark.parametrize("was_signalled", [True, False])
async def test_a_cancelled_command_has_its_grace_although_the_daemon_was_away(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path, mode: Any, was_signalled: bool
) -> None:
    """It ends by itself on its SIGTERM: the daemon that is back does not kill it before its time."""
    daemon.start()
    end = "trap '' TERM; until [ -e /m/end ]; do sleep 0.1; done; echo bye; exit 3"
    line = f"end() {{ {end}; }}; trap end TERM; echo up; while :; do sleep 0.1; done"
    release = start(daemon, busybox_image, tmp_path, line, container_mode=mode)
    daemon.until_output(release.name, b"up\n")
    if was_signalled:
        daemon.stub.CancelRelease(CancelReleaseRequest(name=release.name))
        until(daemon, release, "signal_sent")
    daemon.kill()
    if not was_signalled:
        async with audit_log.opened(daemon.audit) as audit:
            await audit.append(release.name.removeprefix("releases/"), CancelRequested())
    daemon.start()
    until(daemon, release, "release_adopted")
    until(daemon, release, "signal_sent")
    (tmp_path / "end").touch()
    outcome = daemon.outcome(release.name)
    assert (outcome.state, outcome.command_states) == ("CANCELLED", ["CANCELLED"])
    assert outcome.output(0, STDOUT) == b"up\nbye\n"
    assert outcome.release.command_runs[0].exit_code == 3
