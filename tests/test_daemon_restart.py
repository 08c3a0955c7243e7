"""The daemon as a process: its start, its end, and what becomes of releases when it goes."""

import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from released.engine.container import name_of
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import CommandRun, Failure, Release
from releasephase.v1.release_service_pb2 import (
    CancelReleaseRequest,
    EnvironmentVariable,
    GetReleaseRequest,
    ReleaseCommand,
    StartReleaseRequest,
    WatchReleaseRequest,
)
from support.docker_engine import Engine
from support.process import DaemonProcess
from support.samples import a_spec


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, as /run is."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture
def daemon(folder: Path, engine: Engine) -> Iterator[DaemonProcess]:
    """A daemon that can be killed and started again on the same files."""
    with DaemonProcess(folder, engine.url) as daemon:
        yield daemon


def start(daemon: DaemonProcess, image: str, *lines: str, environment: str = "live", **env: str) -> Release:
    request = StartReleaseRequest(
        application="shop",
        environment=environment,
        image=image,
        commands=[ReleaseCommand(label=f"command {index}", line=line) for index, line in enumerate(lines)],
        env=[EnvironmentVariable(name=name, value=value, secret=True) for name, value in env.items()],
    )
    return daemon.stub.StartRelease(request)


def watch(daemon: DaemonProcess, name: str) -> list[ReleaseEvent]:
    return list(daemon.stub.WatchRelease(WatchReleaseRequest(name=name)))


def until_output(daemon: DaemonProcess, name: str, data: bytes) -> None:
    call = daemon.stub.WatchRelease(WatchReleaseRequest(name=name))
    for event in call:
        if data in event.command_output.data:
            call.cancel()
            return
    raise AssertionError(f"{name} ended without {data!r}")


def get(daemon: DaemonProcess, name: str) -> Release:
    return daemon.stub.GetRelease(GetReleaseRequest(name=name))


def cancel(daemon: DaemonProcess, name: str) -> None:
    daemon.stub.CancelRelease(CancelReleaseRequest(name=name))


def test_a_queued_release_runs_after_a_crash_with_its_values(
    daemon: DaemonProcess, folder: Path, busybox_image: str
) -> None:
    """They were kept in memory, readable by nobody else, and are forgotten when it starts."""
    first = start(daemon, busybox_image, "echo up; sleep 1000")
    second = start(daemon, busybox_image, "echo got $NOTE ${#NOTE}", NOTE="value-of-the-note")
    third = start(daemon, busybox_image, "echo third")
    until_output(daemon, first.name, b"up\n")
    (kept,) = (folder / "released.sock.secrets").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    daemon.kill()
    daemon.start()
    cancel(daemon, first.name)
    events = watch(daemon, second.name)
    output = b"".join(event.command_output.data for event in events)
    assert output == b"got *** 17\n"
    watch(daemon, third.name)
    assert [get(daemon, release.name).state for release in (first, second, third)] == [
        Release.STATE_CANCELLED,
        Release.STATE_SUCCEEDED,
        Release.STATE_SUCCEEDED,
    ]
    assert list((folder / "released.sock.secrets").iterdir()) == []


def test_a_queued_release_whose_values_are_gone_fails(
    daemon: DaemonProcess, folder: Path, busybox_image: str
) -> None:
    """As after a reboot: it can't run without them, and says why."""
    first = start(daemon, busybox_image, "echo up; sleep 1000")
    second = start(daemon, busybox_image, "echo got $NOTE", NOTE="value-of-the-note")
    until_output(daemon, first.name, b"up\n")
    daemon.kill()
    for file in (folder / "released.sock.secrets").iterdir():
        file.unlink()
    daemon.start()
    watch(daemon, second.name)
    settled = get(daemon, second.name)
    assert settled.failure.cause == Failure.CAUSE_INTERRUPTED
    assert "environment variables" in settled.failure.message
    assert [run.state for run in settled.command_runs] == [CommandRun.STATE_SKIPPED]
    cancel(daemon, first.name)
    watch(daemon, first.name)


def test_what_an_ended_release_left_behind_is_removed_before_the_next_of_its_target(
    daemon: DaemonProcess, engine: Engine, busybox_image: str
) -> None:
    """A lost engine may keep a container whose release was reported already: its lane stays taken."""
    first = start(daemon, busybox_image, "true")
    watch(daemon, first.name)
    daemon.terminate()
    config = {
        "Image": busybox_image,
        "Cmd": ["sleep", "1000"],
        "Labels": {"releasephase.release": first.name},
    }
    name = name_of(first.name.removeprefix("releases/"), a_spec("true"))
    left = engine.http.json("POST", "/containers/create", {"name": name}, body=config)["Id"]
    engine.http.request("POST", f"/containers/{left}/start")
    daemon.start()
    second = start(daemon, busybox_image, "true")
    watch(daemon, second.name)
    assert get(daemon, second.name).state == Release.STATE_SUCCEEDED
    assert not engine.release_containers()


def test_sigterm_ends_the_daemon_at_once_and_cleanly(
    daemon: DaemonProcess, folder: Path, busybox_image: str
) -> None:
    """Exit code 0 although a release runs and somebody watches; the release is left as it is."""
    release = start(daemon, busybox_image, "echo up; sleep 1000")
    until_output(daemon, release.name, b"up\n")
    call = daemon.stub.WatchRelease(WatchReleaseRequest(name=release.name))
    next(call)
    assert daemon.terminate() == 0
    assert call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    assert not daemon.socket.exists()
    daemon.start()
    cancel(daemon, release.name)
    watch(daemon, release.name)


def test_history_survives_and_goes_on_counting(daemon: DaemonProcess, busybox_image: str) -> None:
    """Events are where they were, and new ones follow without a gap."""
    first = start(daemon, busybox_image, "echo kept")
    before = watch(daemon, first.name)
    daemon.terminate()
    daemon.start()
    assert watch(daemon, first.name) == before
    second = start(daemon, busybox_image, "true")
    assert watch(daemon, second.name)[0].sequence == before[-1].sequence + 1


def test_a_second_daemon_is_refused_and_the_first_keeps_serving(
    daemon: DaemonProcess, folder: Path, engine: Engine, busybox_image: str
) -> None:
    """On the same socket or on the same log, with the pid of the one that holds it."""
    other = folder / "other"
    other.mkdir()
    same_socket = folder / "same-socket.toml"
    same_socket.write_text(
        f'[server]\nsocket = "{daemon.socket}"\n[engine]\nurl = "{engine.url}"\n'
        f'[audit]\npath = "{other}/audit.db"\n'
    )
    same_log = folder / "same-log.toml"
    same_log.write_text(
        f'[server]\nsocket = "{other}/released.sock"\n[engine]\nurl = "{engine.url}"\n'
        f'[audit]\npath = "{daemon.audit}"\n'
    )
    for config in (same_socket, same_log):
        second = daemon.run_another(config)
        assert second.returncode == 1
        assert f"process {daemon.pid}" in second.stderr
        assert len(second.stderr.splitlines()) == 1
    assert watch(daemon, start(daemon, busybox_image, "true").name)


def test_a_stale_socket_is_replaced_and_another_file_is_not(
    daemon: DaemonProcess, folder: Path, engine: Engine, busybox_image: str
) -> None:
    """kill -9 leaves the socket behind; a regular file at its place is somebody else's."""
    daemon.kill()
    assert daemon.socket.is_socket()
    daemon.start()
    assert daemon.terminate() == 0
    daemon.socket.write_text("not a socket")
    refused = daemon.run_another(daemon.config)
    assert refused.returncode == 1
    assert "is no socket" in refused.stderr
    assert daemon.socket.read_text() == "not a socket"
    daemon.socket.unlink()
    daemon.start()


def test_a_bad_configuration_is_refused_with_file_and_key(daemon: DaemonProcess, folder: Path) -> None:
    """Exit code 2, one line."""
    config = folder / "bad.toml"
    config.write_text("[releases]\nmax_concurent = 3\n")
    refused = daemon.run_another(config)
    assert refused.returncode == 2
    assert str(config) in refused.stderr
    assert "max_concurent" in refused.stderr
    assert daemon.run_another(folder / "missing.toml").returncode == 2


def test_a_database_of_another_program_is_refused_untouched(
    daemon: DaemonProcess, folder: Path, engine: Engine
) -> None:
    """At once, with one line; nothing hangs because a connection is open."""
    foreign = folder / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE events (whatever)")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    content = foreign.read_bytes()
    config = folder / "foreign.toml"
    config.write_text(
        f'[server]\nsocket = "{folder}/foreign.sock"\n[engine]\nurl = "{engine.url}"\n'
        f'[audit]\npath = "{foreign}"\n'
    )
    refused = daemon.run_another(config)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (65, 1)
    assert "another program's database" in refused.stderr
    assert foreign.read_bytes() == content


def test_the_log_has_one_line_each_with_the_release_and_no_secret(
    daemon: DaemonProcess, folder: Path, busybox_image: str
) -> None:
    """What an operator reads in the journal; values are neither there nor in any file on the way."""
    release = start(daemon, busybox_image, "echo hello", "exit 3", TOKEN="value-of-the-token")
    watch(daemon, release.name)
    lines = daemon.log.splitlines()
    about = [line for line in lines if release.name.removeprefix("releases/") in line]
    assert len(about) >= 5
    assert any("shop/live" in line and "COMMAND_FAILED" in line for line in about)
    daemon.terminate()
    for file in (path for path in folder.rglob("*") if path.is_file()):
        assert b"value-of-the-token" not in file.read_bytes(), file


def test_the_socket_is_for_everybody_and_the_log_for_us(daemon: DaemonProcess) -> None:
    """Who comes through the socket is asked who it is; nobody asks who reads a file."""
    assert daemon.socket.stat().st_mode & 0o777 == 0o666
    assert daemon.audit.stat().st_mode & 0o777 == 0o600
