"""Retention in the daemon itself: on a reload, around releases, and when it is killed in the middle."""

import asyncio
import os
import signal
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from released.crash import VARIABLE, CrashPoint
from released.model.ids import new_release_id
from releasephase.v1.daemon_service_pb2 import AuditStatus, GetStatusRequest
from support.app import Outcome, release_request
from support.docker_engine import Engine
from support.past import assert_sound, past
from support.process import DaemonProcess

DEADLINE = 60

YOUNGER = "{ days = 0.000000001 }"
"""Some microseconds: of releases that have ended, nothing is kept."""

OLD_RELEASES = 12
KEEP = "keep_output = { days = 50 }\nkeep_events = { days = 90 }\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def daemon(engine: Engine, folder: Path) -> Iterator[DaemonProcess]:
    """A daemon that keeps everything."""
    with DaemonProcess(folder, engine.url, "") as daemon:
        yield daemon


def reload(daemon: DaemonProcess, settings: str = "") -> None:
    """Let these keys of [audit] count from now on; the log is pruned at once then, if it can be."""
    config = daemon.config.read_text()
    daemon.config.write_text(config.replace("[audit]\n", f"[audit]\n{settings}\n"))
    os.kill(daemon.pid, signal.SIGHUP)


def until(fits: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not fits():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def audit_status(daemon: DaemonProcess) -> AuditStatus:
    return daemon.daemon.GetStatus(GetStatusRequest()).audit


def rows(log: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(log)) as connection:
        return connection.execute(sql).fetchall()


def run(daemon: DaemonProcess, image: str, *lines: str, **fields: object) -> Outcome:
    request = release_request(*lines, image=image, **fields)
    return daemon.outcome(daemon.stub.StartRelease(request).name)


def assert_export_is_sound(daemon: DaemonProcess, file: Path) -> None:
    """What is exported of a log that was pruned proves itself, too."""
    assert daemon.releasectl("audit", "export", "-o", str(file)).returncode == 0
    verified = daemon.releasectl("audit", "verify", "--offline", str(file))
    assert verified.returncode == 0, verified.stdout


def test_configuration_that_was_read_again_is_followed(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path
) -> None:
    """Output goes, the release stays and says so; then the release goes, too."""
    outcome = run(daemon, busybox_image, "echo before; head -c 100000 /dev/zero", "echo after")
    assert not audit_status(daemon).HasField("output_since_time")
    reload(daemon, f"keep_output = {YOUNGER}")
    until(lambda: rows(daemon.audit, "SELECT count(*) FROM outputs") == [(0,)])
    again = daemon.outcome(outcome.release.name)
    assert again.release == outcome.release
    pruned = [event.command_output for event in again.events if event.HasField("command_output")]
    assert {piece.data for piece in pruned} == {b""}
    assert sum(piece.pruned_bytes for piece in pruned) == 100_000 + len("before\nafter\n")
    log = daemon.releasectl("logs", outcome.release.name).stdout
    removed = "output was removed by the retention of the audit log"
    assert (
        f"Running command 0...\n\n[… {removed}: 97.7 KiB …]\n\nRunning command 1...\n\n[… {removed}: 6 B …]\n"
        in log
    )
    assert "output since" in daemon.releasectl("status").stdout
    assert_export_is_sound(daemon, tmp_path / "without output.jsonl")
    reload(daemon, f"keep_events = {YOUNGER}")
    until(lambda: daemon.releasectl("show", outcome.release.name).returncode == 3)
    told = daemon.releasectl("show", outcome.release.name).stderr
    assert f"there is no release {outcome.release.name}, or it was pruned: events are kept since 2" in told
    younger = f"releases/{new_release_id()}"
    assert f"there is no release {younger}\n" in daemon.releasectl("show", younger).stderr
    assert daemon.releasectl("history").stderr == "no releases\n"
    assert_export_is_sound(daemon, tmp_path / "without the first events.jsonl")
    assert_sound(daemon.audit)


def test_nothing_is_pruned_while_a_release_runs_or_waits(daemon: DaemonProcess, busybox_image: str) -> None:
    """What is due comes after the end of the last one."""
    run(daemon, busybox_image, "echo old")
    running = daemon.stub.StartRelease(release_request("echo up; sleep 1000", image=busybox_image))
    daemon.until_output(running.name, b"up\n")
    waiting = daemon.stub.StartRelease(release_request("echo waited", image=busybox_image))
    reload(daemon, f"keep_output = {YOUNGER}")
    # There is time enough for it.
    run(daemon, busybox_image, "echo other", application="blog")
    assert daemon.releasectl("cancel", running.name).returncode == 0
    daemon.outcome(waiting.name)
    until(lambda: rows(daemon.audit, "SELECT count(*) FROM outputs") == [(0,)])
    kinds = [kind for (kind,) in rows(daemon.audit, "SELECT kind FROM events ORDER BY sequence")]
    assert kinds.count("output_pruned") == 1
    assert kinds.index("output_pruned") > max(
        number for number, kind in enumerate(kinds) if kind == "state_changed"
    )


def test_request_of_a_release_that_was_pruned_is_a_new_one(daemon: DaemonProcess, busybox_image: str) -> None:
    """Nobody knows any more that it came before."""
    request_id = str(uuid4())
    first = run(daemon, busybox_image, "true", request_id=request_id)
    repeated = run(daemon, busybox_image, "true", request_id=request_id)
    assert repeated.release.name == first.release.name
    reload(daemon, f"keep_events = {YOUNGER}")
    until(lambda: daemon.releasectl("show", first.release.name).returncode == 3)
    later = run(daemon, busybox_image, "true", request_id=request_id)
    assert later.release.name != first.release.name


async def write_old_log(path: Path) -> None:
    """A third is too old, of another third the output is."""
    async with past(path) as log:
        for number in range(OLD_RELEASES):
            log.days_ago((100, 60, 10)[number * 3 // OLD_RELEASES])
            await log.run(number, *[os.urandom(65536)] * 40)


def is_pruned(path: Path) -> bool:
    """Whether nothing is left that is too old."""
    third = OLD_RELEASES // 3
    counts = [
        rows(path, f"SELECT count(*) FROM {table}")[0][0]  # noqa: S608
        for table in ("releases", "outputs", "events WHERE release_id <> ''")
    ]
    return counts == [2 * third, third * 40, 2 * third * 45]


@pytest.mark.parametrize(
    "at",
    [
        CrashPoint.PRUNING_RECORDED,
        f"{CrashPoint.PRUNING_RECORDED}:2",
        CrashPoint.PRUNING_SLICE,
        f"{CrashPoint.PRUNING_SLICE}:3",
        f"{CrashPoint.PRUNING_SLICE}:7",
        CrashPoint.PRUNING_VACUUMED,
        f"{CrashPoint.PRUNING_VACUUMED}:5",
    ],
)
def test_daemon_that_is_killed_in_the_middle_goes_on_with_it(engine: Engine, folder: Path, at: str) -> None:
    """Nothing is lost behind the checkpoint, nothing is told twice, all the room is given back."""
    asyncio.run(write_old_log(folder / "audit.db"))
    size = (folder / "audit.db").stat().st_size
    daemon = DaemonProcess(folder, engine.url, KEEP)
    daemon.start({VARIABLE: at})
    reload(daemon)
    assert daemon.wait() == -signal.SIGKILL
    with daemon:
        reload(daemon)
        until(lambda: is_pruned(daemon.audit) and daemon.audit.stat().st_size < size / 2)
    told = rows(daemon.audit, "SELECT kind FROM events WHERE kind LIKE '%pruned' ORDER BY sequence")
    assert told == [("output_pruned",), ("events_pruned",)]
    assert_sound(daemon.audit)
