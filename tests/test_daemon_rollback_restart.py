"""Rollbacks when the daemon or the engine goes: none is lost, or runs beside another release or before it."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from released.crash import VARIABLE, CrashPoint
from released.release import run as run_module
from releasephase.v1.daemon_service_pb2 import DrainRequest
from releasephase.v1.release_pb2 import CONTAINER_MODE_PER_COMMAND, Failure, Mount, Release
from releasephase.v1.release_service_pb2 import (
    EnvironmentVariable,
    GetReleaseRequest,
    ReleaseCommand,
    StartReleaseRequest,
)
from support.app import serving_app
from support.docker_engine import Engine
from support.faulty_engine import faulty_engine
from support.marks import marks
from support.process import DaemonProcess, daemon_in_memory
from support.small_disk import KIB, small_disk

WAIT = "until test -e /m/go; do sleep 0.05; done; false"
"""Fails as soon as there is a file."""


@pytest.fixture
def daemon(engine: Engine) -> Iterator[DaemonProcess]:
    """A daemon that can be killed and started again on the same files."""
    with daemon_in_memory(engine.url) as daemon:
        yield daemon


def failing(
    image: str, folder: Path, rollback: str = "echo -a >> /m/marks", **env: str
) -> StartReleaseRequest:
    """A release that fails once there is a file `go`, with one command to be undone."""
    return StartReleaseRequest(
        application="shop",
        environment="live",
        image=image,
        commands=[
            ReleaseCommand(label="a", line="echo +a >> /m/marks", rollback=rollback),
            ReleaseCommand(label="last", line=f"echo up; {WAIT}"),
        ],
        mounts=[Mount(source=str(folder), target="/m")],
        env=[EnvironmentVariable(name=name, value=value, secret=True) for name, value in env.items()],
    )


def next_one(image: str, folder: Path) -> StartReleaseRequest:
    """Another release of the same target."""
    request = failing(image, folder)
    del request.commands[1:]
    request.commands[0].CopyFrom(ReleaseCommand(label="next", line="echo next >> /m/marks"))
    return request


def get(daemon: DaemonProcess, name: str) -> Release:
    return daemon.stub.GetRelease(GetReleaseRequest(name=name))


def test_rollback_that_runs_is_gone_on_with_before_what_waits(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path
) -> None:
    """Though that was accepted before it."""
    rollback = "echo undoing; until test -e /m/enough; do sleep 0.05; done; echo -a >> /m/marks"
    first = daemon.stub.StartRelease(failing(busybox_image, tmp_path, rollback))
    second = daemon.stub.StartRelease(next_one(busybox_image, tmp_path))
    daemon.until_output(first.name, b"up\n")
    (tmp_path / "go").touch()
    undoing = daemon.outcome(first.name).release.rollback
    daemon.until_output(undoing, b"undoing\n")
    daemon.kill()
    daemon.start()
    assert get(daemon, second.name).state == Release.STATE_QUEUED
    (tmp_path / "enough").touch()
    assert daemon.outcome(undoing).state == "SUCCEEDED"
    assert daemon.outcome(second.name).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "-a", "next"]


def test_rollback_that_waits_comes_first_after_a_restart(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path
) -> None:
    """With its values: the daemon died right behind the end of the failed release."""
    daemon.terminate()
    daemon.start({VARIABLE: CrashPoint.END_STORED})
    request = failing(busybox_image, tmp_path, "echo $WORD >> /m/marks", WORD="hidden-value")
    first = daemon.stub.StartRelease(request)
    second = daemon.stub.StartRelease(next_one(busybox_image, tmp_path))
    daemon.until_output(first.name, b"up\n")
    (tmp_path / "go").touch()
    daemon.wait()
    daemon.start()
    assert daemon.outcome(second.name).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "hidden-value", "next"]
    assert get(daemon, get(daemon, first.name).rollback).state == Release.STATE_SUCCEEDED
    assert list(daemon.secrets.iterdir()) == []


def lose_values(daemon: DaemonProcess) -> None:
    """What a restart of the host does to them, while the daemon is away."""
    for file in daemon.secrets.iterdir():
        file.unlink()


def test_rollback_whose_values_are_lost_fails_and_says_so(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path
) -> None:
    """It was accepted before that; as of any release after the host was restarted. The next one runs."""
    daemon.terminate()
    daemon.start({VARIABLE: CrashPoint.END_STORED})
    first = daemon.stub.StartRelease(failing(busybox_image, tmp_path, WORD="hidden-value"))
    second = daemon.stub.StartRelease(next_one(busybox_image, tmp_path))
    daemon.until_output(first.name, b"up\n")
    (tmp_path / "go").touch()
    daemon.wait()
    lose_values(daemon)
    daemon.start()
    rollback = daemon.outcome(daemon.outcome(first.name).release.rollback)
    assert (rollback.state, rollback.cause, rollback.command_states) == ("FAILED", "INTERRUPTED", ["SKIPPED"])
    assert "the daemon was, whose runtime folder was emptied or is not on a tmpfs" in rollback.message
    assert "environment variables" in rollback.message
    assert "Nothing was undone." in rollback.message
    assert f"`releasectl retry {rollback.release.name}`, with all variables again" in rollback.message
    assert daemon.outcome(second.name).state == "SUCCEEDED"
    refused = daemon.releasectl("outcome", first.name, "abandoned", "--run-rollback")
    retry = ["retry", rollback.release.name]
    assert (refused.returncode, f"`releasectl {' '.join(retry)}`" in refused.stderr) == (1, True)
    too_late = daemon.releasectl(*retry, "--secret", "WORD=sent-again")
    assert (too_late.returncode, f"has had another release since, {second.name}" in too_late.stderr) == (
        1,
        True,
    )
    assert marks(tmp_path) == ["+a", "next"]


def test_rollback_whose_values_were_lost_is_tried_again_with_them(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path
) -> None:
    """As its message says; nothing of the target has run since."""
    daemon.terminate()
    daemon.start({VARIABLE: CrashPoint.END_STORED})
    first = daemon.stub.StartRelease(failing(busybox_image, tmp_path, WORD="hidden-value"))
    daemon.until_output(first.name, b"up\n")
    (tmp_path / "go").touch()
    daemon.wait()
    lose_values(daemon)
    daemon.start()
    rollback = daemon.outcome(daemon.outcome(first.name).release.rollback)
    retry = ["retry", rollback.release.name]
    assert f"`releasectl {' '.join(retry)}`, with all variables again" in rollback.message
    assert daemon.releasectl(*retry, "--secret", "WORD=sent-again").returncode == 0
    assert marks(tmp_path) == ["+a", "-a"]


def test_release_whose_values_are_lost_keeps_its_rollback_for_when_they_are_sent_again(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path
) -> None:
    """None is accepted that could only fail: the release says what to do, and that works."""
    request = failing(busybox_image, tmp_path, "echo $WORD >> /m/marks", WORD="hidden-value")
    first = daemon.stub.StartRelease(request)
    daemon.until_output(first.name, b"up\n")
    daemon.kill()
    lose_values(daemon)
    daemon.start()
    (tmp_path / "go").touch()
    failed = daemon.outcome(first.name)
    assert (failed.cause, failed.release.rollback) == ("COMMAND_FAILED", "")
    abandon = ["outcome", first.name, "abandoned", "--run-rollback"]
    assert "the values of its variables are gone" in failed.message
    assert f"`releasectl {' '.join(abandon)}`, with all variables of the release again" in failed.message
    reported = daemon.releasectl(*abandon, "--secret", "WORD=sent-again")
    assert reported.returncode == 0, reported.stderr
    assert daemon.outcome(get(daemon, first.name).rollback).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "sent-again"]


def test_credentials_that_are_lost_keep_nothing_from_being_rolled_back(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path
) -> None:
    """Nothing is pulled for a rollback, and it has no variables."""
    request = failing(busybox_image, tmp_path)
    request.registry_auth.identity_token = "token"
    first = daemon.stub.StartRelease(request)
    daemon.until_output(first.name, b"up\n")
    daemon.kill()
    lose_values(daemon)
    daemon.start()
    (tmp_path / "go").touch()
    assert daemon.outcome(daemon.outcome(first.name).release.rollback).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "-a"]


@contextmanager
def no_more_files(disk: Path) -> Iterator[None]:
    """For the block, nobody can make another file, or link, on a disk that holds few."""
    fillers: list[Path] = []
    with suppress(OSError):
        while True:
            fillers.append(disk / f"filler{len(fillers)}")
            fillers[-1].touch()
    try:
        yield
    finally:
        for filler in fillers:
            filler.unlink(missing_ok=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")
def test_release_whose_values_can_t_be_kept_for_its_rollback_says_what_to_do(
    engine: Engine, busybox_image: str, tmp_path: Path
) -> None:
    """The folder for them takes no more; when it does, what the message says works."""
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name,
        small_disk(Path(name) / "disk", kib=64 * KIB) as disk,
    ):
        subprocess.run(["mount", "-o", "remount,nr_inodes=64", disk], check=True)
        with DaemonProcess(disk, engine.url) as daemon:
            first = daemon.stub.StartRelease(failing(busybox_image, tmp_path, WORD="hidden-value"))
            daemon.until_output(first.name, b"up\n")
            with no_more_files(daemon.secrets):
                (tmp_path / "go").touch()
                failed = daemon.outcome(first.name)
            assert (failed.cause, failed.release.rollback) == ("COMMAND_FAILED", "")
            assert f"can't be kept in memory, in {daemon.secrets}: No space left on device" in failed.message
            assert "make room there, then report the deployment as abandoned" in failed.message
            again = ["abandoned", "--run-rollback", "--secret", "WORD=sent-again"]
            reported = daemon.releasectl("outcome", first.name, *again)
            assert reported.returncode == 0, reported.stderr
            assert daemon.outcome(get(daemon, first.name).rollback).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "-a"]


def test_drained_daemon_leaves_a_rollback_to_its_next_start(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path
) -> None:
    """It is accepted, and counted as queued, but nothing is started any more."""
    first = daemon.stub.StartRelease(failing(busybox_image, tmp_path))
    daemon.until_output(first.name, b"up\n")
    drain = daemon.daemon.Drain(DrainRequest())
    next(drain)
    (tmp_path / "go").touch()
    *_, last = drain
    assert (last.running_releases, last.queued_releases) == (0, 1)
    assert daemon.wait() == 0
    assert marks(tmp_path) == ["+a"]
    daemon.start()
    assert daemon.outcome(get(daemon, first.name).rollback).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "-a"]


async def test_rollback_waits_until_it_is_known_that_nothing_of_its_release_runs(
    engine: Engine, busybox_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss of the engine is reported without waiting for it; what is left is removed first then."""
    monkeypatch.setattr(run_module, "ENGINE_PATIENCE", 0.1)
    request = failing(busybox_image, tmp_path)
    request.commands[0].line += "; echo up; until test -e /m/go; do sleep 0.05; done"
    request.container_mode = CONTAINER_MODE_PER_COMMAND
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        async with (
            faulty_engine(Path(folder), engine.url) as faulty,
            serving_app(faulty.url, busybox_image, engine={"control_timeout": 0.5, "patience": 0.1}) as app,
        ):
            first = await app.stub.StartRelease(request)
            await app.until_output(first.name, b"up\n")
            faulty.hangs = lambda line: "/containers/create" in line or "/containers/json" in line
            (tmp_path / "go").touch()
            lost = await app.outcome(first.name)
            assert lost.release.failure.cause == Failure.CAUSE_ENGINE_LOST, lost.message
            assert lost.command_states == ["SUCCEEDED", "SKIPPED"]
            rollback = await app.stub.GetRelease(GetReleaseRequest(name=lost.release.rollback))
            assert (rollback.state, rollback.queue_position) == (Release.STATE_QUEUED, 1)
            faulty.hangs = lambda line: False
            assert (await app.outcome(rollback.name)).state == "SUCCEEDED"
            assert await asyncio.to_thread(marks, tmp_path) == ["+a", "-a"]
