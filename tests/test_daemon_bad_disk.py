"""A daemon whose audit log's disk is full, broken, read-only or damaged: it says so and loses nothing."""

import asyncio
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from released.config import Config, Configuration
from released.model.ids import new_release_id
from releasephase.v1.audit_service_pb2 import VerifyAuditRequest, VerifyAuditResponse
from releasephase.v1.audit_service_pb2_grpc import AuditServiceStub
from releasephase.v1.release_pb2 import Mount, Release
from releasephase.v1.release_service_pb2 import GetReleaseRequest, ListReleasesRequest
from support import audit_log
from support.app import App, serving_app
from support.command_line import releasectl
from support.damage import destroy_page, page_within
from support.docker_engine import Engine
from support.health import until_serving
from support.process import DaemonProcess
from support.rpc_errors import details_of, refused
from support.small_disk import KIB, enlarge, fill, make_room, small_disk, small_ext4_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")

RESERVE_BYTES = 1024 * KIB
TALKATIVE = "echo up; until [ -e /tmp/never ]; do head -c 65536 /dev/zero; done"
PRINTING = "echo up; while :; do date; sleep 0.05; done"


@asynccontextmanager
async def app_on(disk: Path, engine: Engine, image: str) -> AsyncIterator[App]:
    audit = {"path": disk / "audit.db", "reserve": RESERVE_BYTES}
    async with serving_app(engine.url, image, audit=audit) as app:
        yield app


async def history(app: App) -> list[Release]:
    return list((await app.stub.ListReleases(ListReleasesRequest())).releases)


async def state_of(app: App, name: str) -> str:
    release = await app.stub.GetRelease(GetReleaseRequest(name=name))
    return Release.State.Name(release.state).removeprefix("STATE_")


async def assert_refused(app: App, code: grpc.StatusCode, reason: str) -> None:
    """A release is refused with a message that names the file, and nothing of it is left anywhere."""
    before = await history(app)
    error = await refused(app.start("true"))
    assert (error.code(), details_of(error)[0].reason) == (code, reason)
    status = await app.status()
    assert status.audit.path in (error.details() or "")
    assert (status.audit.writable, status.audit.path in status.audit.message) == (False, True)
    assert len(status.lanes) == sum(release.end_time.ByteSize() == 0 for release in before)
    assert await history(app) == before


async def test_row_15_a_disk_that_is_full_before_a_release(
    engine: Engine, busybox_image: str, tmp_path: Path
) -> None:
    """RESOURCE_EXHAUSTED, nothing starts, health says so; with room again the same request runs."""
    with small_disk(tmp_path / "disk", kib=6 * KIB) as disk:
        async with app_on(disk, engine, busybox_image) as app:
            await until_serving(app.channel, serving=True)
            fill(disk)
            await assert_refused(app, grpc.StatusCode.RESOURCE_EXHAUSTED, "AUDIT_DISK_FULL")
            await until_serving(app.channel, serving=False)
            assert (await history(app), engine.release_containers()) == ([], set())
            make_room(disk)
            assert (await app.run("true")).state == "SUCCEEDED"
            await until_serving(app.channel, serving=True)
            assert (await app.status()).audit.writable


async def test_row_16_a_disk_that_gets_full_in_the_middle_of_a_run(
    engine: Engine, busybox_image: str, tmp_path: Path
) -> None:
    """The release fails and a quiet one gets its true result while the disk is full; then service resumes."""
    (shared := tmp_path / "shared").mkdir()
    with small_disk(tmp_path / "disk", kib=6 * KIB) as disk:
        async with app_on(disk, engine, busybox_image) as app:
            mounts = [Mount(source=str(shared), target="/m")]
            quiet_line = "until [ -e /m/go ]; do sleep 0.05; done; exit 3"
            quiet = await app.start(quiet_line, application="quiet", mounts=mounts)
            await app.until(quiet.name, "command_started")
            talkative = await app.start(TALKATIVE, "true")
            await app.until_output(talkative.name, b"up\n")
            outcome = await app.outcome(talkative.name)
            assert (outcome.state, outcome.cause) == ("FAILED", "INTERRUPTED")
            assert outcome.command_states == ["FAILED", "SKIPPED"]
            assert "could not be recorded: the disk of the audit log" in outcome.message
            await assert_refused(app, grpc.StatusCode.RESOURCE_EXHAUSTED, "AUDIT_DISK_FULL")
            await until_serving(app.channel, serving=False)
            (shared / "go").touch()
            outcome = await app.outcome(quiet.name)
            assert (outcome.cause, outcome.release.command_runs[0].exit_code) == ("COMMAND_FAILED", 3)
            assert "container_removed" in outcome.kinds
            assert not engine.release_containers()
            enlarge(disk, kib=16 * KIB)
            await until_serving(app.channel, serving=True)
            assert (await app.status()).audit.reserve_bytes == RESERVE_BYTES
            assert (await app.run("true")).state == "SUCCEEDED"
        assert audit_log.problems_of(disk / "audit.db") == []


@pytest.mark.parametrize(
    "skipping", [{}, {"skip_labels": ["Say one"], "skip_reason": "said"}], ids=["", "skip"]
)
async def test_row_16_a_disk_that_is_full_when_it_is_known_what_to_run(
    engine: Engine,
    busybox_image: str,
    make_busybox_image: Callable[..., str],
    tmp_path: Path,
    skipping: dict[str, Any],
) -> None:
    """The release fails, and nothing is recorded of commands of which it is not recorded which they are."""
    (shared := tmp_path / "shared").mkdir()
    image = make_busybox_image(
        """LABEL releasephase.commands='[{"label": "Say one", "command": "echo one"}]'"""
    )
    with small_disk(tmp_path / "disk", kib=6 * KIB) as disk:
        async with app_on(disk, engine, busybox_image) as app:
            mounts = [Mount(source=str(shared), target="/m")]
            first = await app.start("until [ -e /m/go ]; do sleep 0.05; done", mounts=mounts)
            await app.until(first.name, "command_started")
            second = await app.start(commands=[], image=image, **skipping)
            fill(disk)
            (shared / "go").touch()
            outcome = await app.outcome(second.name)
            assert (outcome.state, outcome.cause) == ("FAILED", "INTERRUPTED")
            assert "could not be recorded: the disk of the audit log" in outcome.message
            assert (outcome.kinds, outcome.command_states) == (["accepted", "state_changed"], [])
            assert not engine.release_containers()
            make_room(disk)
        assert audit_log.problems_of(disk / "audit.db") == []


def break_writing(daemon: DaemonProcess) -> None:
    """Every write to a file of the daemon's is an error."""
    _limit_file_size(daemon, "0")


def mend_writing(daemon: DaemonProcess) -> None:
    _limit_file_size(daemon, "unlimited")


def _limit_file_size(daemon: DaemonProcess, limit: str) -> None:
    subprocess.run(["prlimit", f"--fsize={limit}:unlimited", "--pid", str(daemon.pid)], check=True)


def make_read_only(daemon: DaemonProcess) -> None:
    """Nobody can write the database any more, not even who has it open."""
    subprocess.run(["chattr", "+i", *_database_files(daemon)], check=True)


def make_writable(daemon: DaemonProcess) -> None:
    subprocess.run(["chattr", "-i", *_database_files(daemon)], check=True)


def _database_files(daemon: DaemonProcess) -> list[str]:
    # Not the third one: SQLite maps it into memory, and to write there may then be fatal to the process.
    return [f"{daemon.audit}{suffix}" for suffix in ("", "-wal")]


@pytest.fixture
def daemon(engine: Engine, tmp_path: Path) -> Iterator[DaemonProcess]:
    """A daemon in a process of its own, with its audit log on ext4."""
    with (
        small_ext4_disk(tmp_path / "disk", kib=32 * KIB) as disk,
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder,
        DaemonProcess(Path(folder), engine.url, audit=disk / "audit.db") as daemon,
    ):
        yield daemon


@pytest.mark.parametrize(
    ("damage", "mend"),
    [
        pytest.param(break_writing, mend_writing, id="I/O error"),
        pytest.param(make_read_only, make_writable, id="read-only"),
    ],
)
async def test_row_17_a_database_that_can_t_be_written(
    daemon: DaemonProcess,
    engine: Engine,
    busybox_image: str,
    damage: Callable[[DaemonProcess], None],
    mend: Callable[[DaemonProcess], None],
) -> None:
    """The command is stopped, new work refused, health says so, history answers; it comes back by itself."""
    async with grpc.aio.insecure_channel(f"unix:{daemon.socket}") as channel:
        app = App(daemon.folder, Configuration(Config()), channel, busybox_image)
        ended = await app.run("echo before")
        release = await app.start(PRINTING, "true")
        await app.until_output(release.name, b"up\n")
        damage(daemon)
        try:
            while engine.release_containers():  # noqa: ASYNC110 - nothing is recorded that could be waited for
                await asyncio.sleep(0.05)
            await until_serving(channel, serving=False)
            await assert_refused(app, grpc.StatusCode.UNAVAILABLE, "AUDIT_UNWRITABLE")
            assert [await state_of(app, r.name) for r in (release, ended.release)] == ["RUNNING", "SUCCEEDED"]
        finally:
            mend(daemon)
        outcome = await app.outcome(release.name)
        assert (outcome.state, outcome.cause) == ("FAILED", "INTERRUPTED")
        assert outcome.command_states == ["FAILED", "SKIPPED"]
        assert f"could not be recorded: the audit log {daemon.audit} can't be written" in outcome.message
        await until_serving(channel, serving=True)
        assert (await app.run("true")).state == "SUCCEEDED"
        assert audit_log.problems_of(daemon.audit) == []


async def test_row_18_a_corrupted_page(engine: Engine, busybox_image: str, tmp_path: Path) -> None:
    """Verify reports it, nothing is written any more, what can be read is served, the file stays as it is."""
    database = tmp_path / "audit.db"
    async with serving_app(engine.url, busybox_image, audit={"path": database}) as app:
        damaged = await app.run("head -c 300000 /dev/urandom")
        intact = await app.run("head -c 300000 /dev/urandom")
    destroy_page(database, page_within(database, damaged.output()))
    async with serving_app(engine.url, busybox_image, audit={"path": database}) as app:
        before = database.read_bytes()
        assert (await app.run("true")).state == "SUCCEEDED"
        found = await releasectl(app.config.server.socket, "audit", "verify")
        assert (found.exit_code, b"the database is damaged: " in found.stdout) == (1, True)
        await until_serving(app.channel, serving=False)
        await assert_refused(app, grpc.StatusCode.UNAVAILABLE, "AUDIT_DAMAGED")
        advice = (await refused(app.start("true"))).details() or ""
        assert "`releasectl audit verify`" in advice
        assert "restore a backup" in advice
        again = await app.outcome(intact.release.name)
        assert again.output() == intact.output()
        assert [release.name for release in await history(app)][1:] == [
            intact.release.name,
            damaged.release.name,
        ]
        error = await refused(app.outcome(damaged.release.name))
        assert details_of(error)[0].reason == "AUDIT_DAMAGED"
    assert database.read_bytes() == before


async def test_a_list_says_which_releases_it_lacks(
    engine: Engine, busybox_image: str, tmp_path: Path
) -> None:
    """Of the others it has all; what is not found after that may have been there."""
    database = tmp_path / "audit.db"
    line = f"true {os.urandom(30_000).hex()}"
    async with serving_app(engine.url, busybox_image, audit={"path": database}) as app:
        damaged = await app.run(line)
        intact = await app.run("true")
    destroy_page(database, page_within(database, line.encode()))
    async with serving_app(engine.url, busybox_image, audit={"path": database}) as app:
        page = await app.stub.ListReleases(ListReleasesRequest())
        assert [release.name for release in page.releases] == [intact.release.name]
        assert page.unreachable == [damaged.release.name]
        unknown = f"releases/{new_release_id()}"
        error = await refused(app.stub.GetRelease(GetReleaseRequest(name=unknown)))
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert f"there is no release {unknown}, or it can't be read: the audit log is damaged" in (
            error.details() or ""
        )


async def test_verifying_finds_nothing_wrong_in_a_log_that_releases_are_writing(app: App) -> None:
    """Of all that the daemon records, while it records it."""
    await app.run("echo out; echo err >&2; exit 3", "true", labels={"a": "b"})
    release = await app.start(PRINTING)
    await app.until_output(release.name, b"up\n")
    found: VerifyAuditResponse = await AuditServiceStub(app.channel).VerifyAudit(VerifyAuditRequest())
    assert (list(found.problems), found.event_count > 10) == ([], True)
    await app.cancel(release.name)
    await app.outcome(release.name)
    shown = await releasectl(app.config.server.socket, "audit", "verify")
    assert (shown.exit_code, shown.stdout) == (0, b"")
