"""`releasectl audit backup`: a copy of the audit log, whole or not at all, while the daemon writes to it."""

import asyncio
import os
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from releasectl.backup import PAGES_AT_ONCE, back_up, backed_up
from releasectl.exceptions import ReleasephaseError
from released.audit.log import AuditLog
from released.model.events import CommandOutput
from released.model.receipt import Receipt
from released.model.states import Stream
from releasephase.v1.daemon_service_pb2 import AuditStatus, DaemonStatus
from support import audit_log
from support.command_line import Result, releasectl, terminal
from support.other_user import other_user
from support.samples import RELEASE, accepted
from support.scripted_service import ScriptedService, serve
from support.small_disk import small_disk

OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"))
        yield audit


@asynccontextmanager
async def telling_of(log: Path, socket: Path) -> AsyncIterator[ScriptedService]:
    """A daemon that tells where its audit log is."""
    async with serve(socket) as service:
        service.answer("GetStatus", DaemonStatus(audit=AuditStatus(path=str(log))))
        yield service


@pytest.fixture
async def service(tmp_path: Path, audit: AuditLog) -> AsyncIterator[ScriptedService]:
    async with telling_of(audit.path, tmp_path / "released.sock") as service:
        yield service


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copies" / "audit copy.db"


@pytest.fixture(autouse=True)
def folder(copy: Path) -> Path:
    copy.parent.mkdir()
    return copy.parent


def backup(service: ScriptedService, *arguments: object) -> asyncio.Task[Result]:
    return asyncio.create_task(releasectl(service.socket, "audit", "backup", *map(str, arguments)))


def ignore(done: int, total: int) -> None:
    """No progress is wanted."""


async def append_large(audit: AuditLog, mib: int) -> Receipt:
    """Make the log larger than one step of a backup, with what can't be compressed."""
    for _ in range(mib * 16):
        receipt = await audit.append_output(RELEASE, [(OUTPUT, os.urandom(65536))])
    return receipt


async def test_copy_is_the_log(service: ScriptedService, audit: AuditLog, copy: Path) -> None:
    """A file of its owner's only, that the daemon itself opens; the receipt of its end is told."""
    receipt = await audit.append_output(RELEASE, [(OUTPUT, b"stored")])
    result = await backup(service, copy)
    assert (result.exit_code, result.stdout) == (0, b"")
    size = copy.stat().st_size / 1024
    assert result.stderr == (
        f"copied {audit.path} to {copy}: {size:g} KiB\nthe receipt of its newest event: {receipt}\n"
    )
    assert os.listdir(copy.parent) == [copy.name]
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert audit_log.problems_of(copy) == []
    async with audit_log.opened(copy) as restored:
        assert await audit_log.events_of(restored, RELEASE) == await audit_log.events_of(audit, RELEASE)


async def test_copy_is_as_the_log_was_at_one_moment(audit: AuditLog, copy: Path) -> None:
    """Whatever is appended between the steps: it is not in the copy, and nothing is torn."""
    before = await append_large(audit, 3 * PAGES_AT_ONCE * 4096 // 2**20)
    loop = asyncio.get_running_loop()
    steps = []

    def append_more(done: int, total: int) -> None:
        steps.append(done)
        asyncio.run_coroutine_threadsafe(append_large(audit, 1), loop).result()

    copied = await backed_up(audit.path, copy, append_more)
    assert len(steps) > 2
    assert (copied.sequence, copied.digest) == (before.sequence, before.digest.hex())
    assert copied.size_bytes == copy.stat().st_size
    assert audit_log.problems_of(copy) == []
    async with audit_log.opened(copy) as restored:
        assert restored.head.sequence == before.sequence


async def test_file_that_is_there_is_kept(service: ScriptedService, copy: Path) -> None:
    """It may be the only backup that is good."""
    copy.write_text("precious")
    refused = await backup(service, copy)
    assert refused.exit_code == 2
    assert "is there already: name another file, or replace it with --force" in refused.stderr
    assert copy.read_text() == "precious"
    assert (await backup(service, copy, "--force")).exit_code == 0
    assert audit_log.problems_of(copy) == []


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", "-journal", ".key", ".reserve"])
@pytest.mark.parametrize("by", ["name", "link", "hard link"])
async def test_log_is_not_replaced_by_its_copy(
    service: ScriptedService, audit: AuditLog, tmp_path: Path, ending: str, by: str
) -> None:
    """Nor is any file of its own, whatever name it is called by, and also with --force."""
    own = Path(f"{audit.path}{ending}")
    there = own.exists()
    name = own
    if by == "link":
        name = tmp_path / "link"
        name.symlink_to(own)
    elif by == "hard link" and there:
        name = tmp_path / "other name"
        name.hardlink_to(own)
    before = own.stat().st_ino if there else None
    refused = await backup(service, name, "--force")
    assert refused.exit_code == 1
    assert f"{name} belongs to the audit log itself" in refused.stderr
    assert (own.stat().st_ino if own.exists() else None) == before
    await audit.append_output(RELEASE, [(OUTPUT, b"goes on")])
    assert audit_log.problems_of(audit.path) == []


async def test_log_behind_a_link_is_not_replaced(audit: AuditLog, tmp_path: Path) -> None:
    """SQLite keeps its files beside what the link leads to."""
    link = tmp_path / "elsewhere.db"
    link.symlink_to(audit.path)
    async with telling_of(link, tmp_path / "another.sock") as service:
        for own in (link, audit.path, Path(f"{audit.path}-wal")):
            assert f"{own} belongs to the audit log itself" in (await backup(service, own, "--force")).stderr
    assert audit_log.problems_of(audit.path) == []


@pytest.mark.parametrize("ending", ["-wal", "-shm", "-journal"])
async def test_what_another_database_left_is_not_taken_for_part_of_the_copy(
    service: ScriptedService, audit: AuditLog, copy: Path, ending: str
) -> None:
    """The copy would be corrupt at once; without it, it is sound."""
    left = Path(f"{copy}{ending}")
    left.write_bytes(Path(f"{audit.path}-wal").read_bytes())
    refused = await backup(service, copy, "--force")
    assert refused.exit_code == 1
    assert f"{left} is left of another database" in refused.stderr
    assert os.listdir(copy.parent) == [left.name]
    left.unlink()
    assert (await backup(service, copy)).exit_code == 0
    assert audit_log.problems_of(copy) == []


async def test_what_an_earlier_one_left_unfinished_is_no_obstacle(
    service: ScriptedService, copy: Path, tmp_path: Path
) -> None:
    """Nor does a link that somebody has put there lead anywhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    copy.with_name(copy.name + ".new").symlink_to(elsewhere)
    assert (await backup(service, copy)).exit_code == 0
    assert elsewhere.read_text() == "precious"
    assert os.listdir(copy.parent) == [copy.name]


async def test_folder_that_is_not_there(service: ScriptedService, copy: Path) -> None:
    """The system says why."""
    copy.parent.rmdir()
    failed = await backup(service, copy)
    assert failed.exit_code == 1
    assert failed.stderr == f"releasectl: the backup {copy} can't be written: No such file or directory\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")
async def test_disk_without_room(service: ScriptedService, audit: AuditLog, copy: Path) -> None:
    """Nothing is left on it, and what was there before stays."""
    await append_large(audit, 2)
    with small_disk(copy.parent / "disk", kib=1024) as disk:
        copy = disk / "copy.db"
        copy.write_text("precious")
        failed = await backup(service, copy, "--force")
        assert failed.exit_code == 1
        assert f"can't be copied to {copy}: database or disk is full" in failed.stderr
        assert (os.listdir(disk), copy.read_text()) == (["copy.db"], "precious")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
async def test_log_that_may_not_be_read(audit: AuditLog, copy: Path) -> None:
    """Exit code 4, and who could make the backup."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        socket, log = Path(name, "released.sock"), Path(name, "audit.db")
        log.touch(0o600)
        async with telling_of(log, socket):
            for path, mode in ((socket.parent, 0o755), (socket, 0o777)):
                path.chmod(mode)
            with other_user(socket) as nobody:
                answer = await asyncio.to_thread(nobody.releasectl, "audit", "backup", str(copy))
    advice = "make the backup as root, or as the user of the daemon"
    assert answer == (4, f"releasectl: {log} may not be read: {advice}\n")


async def test_log_that_is_not_there(copy: Path, tmp_path: Path) -> None:
    """A daemon in another mount namespace, say."""
    async with telling_of(tmp_path / "missing.db", tmp_path / "another.sock") as service:
        failed = await backup(service, copy)
    assert failed.exit_code == 1
    assert "missing.db can't be read: No such file or directory" in failed.stderr
    assert not os.listdir(copy.parent)


def test_log_that_is_no_database(tmp_path: Path, copy: Path) -> None:
    """SQLite says so; nothing is left behind."""
    (tmp_path / "audit.db").write_text("something else, and long enough to be taken for it" * 20)
    with pytest.raises(ReleasephaseError, match=r"audit.db can't be copied to .*: file is not a database"):
        back_up(tmp_path / "audit.db", copy, ignore)
    assert not os.listdir(copy.parent)


async def test_backup_that_is_stopped_leaves_nothing(audit: AuditLog, copy: Path) -> None:
    """Whoever has stopped it does not find half a copy."""
    await append_large(audit, 2 * PAGES_AT_ONCE * 4096 // 2**20)
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    steps = []

    def on_progress(done: int, total: int) -> None:
        steps.append(done)
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(stopping.wait(), loop).result()

    stopping = asyncio.Event()
    backup = asyncio.create_task(backed_up(audit.path, copy, on_progress))
    await begun.wait()
    backup.cancel()
    await asyncio.wait({backup})
    stopping.set()
    await loop.shutdown_default_executor()
    assert backup.cancelled()
    assert len(steps) == 1
    assert not os.listdir(copy.parent)


async def test_progress_is_shown_on_a_terminal(service: ScriptedService, audit: AuditLog, copy: Path) -> None:
    """And is gone when it is done."""
    await append_large(audit, 12)
    async with terminal(service.socket, "audit", "backup", str(copy)) as screen:
        seen = await screen.read_to_end()
    assert screen.process.returncode == 0
    assert "100%" in seen
    assert audit_log.problems_of(copy) == []
