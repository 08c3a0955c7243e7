"""Verifying the audit log beside a daemon that has it open, in processes that end with who asked for them."""

import asyncio
import os
import select
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

from released.audit.log import AuditLog
from released.audit.verification import log_file, process
from released.audit.verification.findings import Problem
from released.audit.verification.log_file import verify_database
from released.audit.verification.source import Source
from released.audit.verification.workers import Workers, workers
from released.errors import Unavailable
from released.model.events import (
    Body,
    CommandStarted,
    ConfigurationReloaded,
    StateChanged,
)
from released.model.states import ReleaseState
from support import audit_log
from support.damage import destroy_page, page_of
from support.samples import OTHER_RELEASE, RELEASE, accepted
from support.tampering import tamper
from support.two_releases import AFTER_OUTPUT, BEFORE_OUTPUT, EVENTS, receipt_of, two_releases


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with two releases, and an event of the daemon itself."""
    return await two_releases(tmp_path / "audit.db")


async def test_several_processes_find_the_same(path: Path) -> None:
    """In a process that has no threads, as the daemon starts one."""
    sound = await process.verify(path)
    assert sound == verify_database(path)
    tamper(path, "DELETE FROM events WHERE sequence = 8", "DELETE FROM outputs WHERE sequence = 17")
    found = await process.verify(path, [receipt_of(path, 20)])
    assert found == verify_database(path)
    assert len(found.problems) == 2


async def test_appending_goes_on_while_the_log_is_verified(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is appended meanwhile is not looked at, and no problem."""
    loop = asyncio.get_running_loop()
    async with audit_log.opened(path) as audit:

        @contextmanager
        def appending_meanwhile(*arguments: Any) -> Iterator[Workers]:
            for release_id, body in (("third", accepted("a")), (RELEASE, BEFORE_OUTPUT[2])):
                appended = asyncio.run_coroutine_threadsafe(_append(audit, release_id, body), loop)
                appended.result(timeout=60)
            with workers(*arguments) as run:
                yield run

        monkeypatch.setattr(log_file, "workers", appending_meanwhile)
        report = await asyncio.to_thread(verify_database, path)
    assert (report.problems, report.event_count) == ([], EVENTS)


async def _append(audit: AuditLog, release_id: str, body: Body) -> None:
    await audit.append(release_id, body)


async def test_a_log_behind_a_link_is_verified_while_it_is_written(path: Path) -> None:
    """SQLite has its other files beside what the link leads to, and the log's size is that of all."""
    link = path.with_name("links") / "audit.db"
    link.parent.mkdir()
    link.symlink_to(path)
    async with audit_log.opened(link) as audit:
        await audit.append(RELEASE, StateChanged(state=ReleaseState.RUNNING))
        for report in (await audit.verify(), verify_database(link)):
            assert (report.problems, report.event_count) == ([], EVENTS + 1)
        await audit.append(RELEASE, StateChanged(state=ReleaseState.RUNNING))
        files = (path, path.with_name("audit.db-wal"))
        assert audit.usage().size_bytes == sum(file.stat().st_size for file in files)
    assert [file.name for file in link.parent.iterdir()] == ["audit.db"]


async def test_a_log_that_a_daemon_has_open_is_never_taken_for_complete(path: Path) -> None:
    """Whatever lies beside it: what is written meanwhile is seen, or nothing of it, and not a part."""
    with closing(Source.of(path, is_live=True).open()) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (EVENTS,)
        async with audit_log.opened(path) as audit:
            await audit.append_own(ConfigurationReloaded())
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (EVENTS + 1,)


async def test_verifying_ends_with_who_asked_for_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No process reads on for nobody."""
    started = []

    async def start(*command: Any, **options: Any) -> asyncio.subprocess.Process:
        started.append(await real(*command, **options))
        os.kill(started[-1].pid, signal.SIGSTOP)  # it would not come to its end by itself
        verifying.cancel()
        return started[-1]

    real = asyncio.create_subprocess_exec
    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)
    verifying = asyncio.create_task(process.verify(path))
    with pytest.raises(asyncio.CancelledError):
        await verifying
    assert started[0].returncode is not None
    with pytest.raises(ProcessLookupError):
        os.killpg(started[0].pid, 0)


FOREVER = """
import multiprocessing, sys
from pathlib import Path
from released.audit.verification.source import Source
from released.audit.verification.workers import workers
with workers(Source.of(Path(sys.argv[1])), 3):
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    sys.stdin.read()
"""


def test_no_process_outlives_the_one_that_it_works_for(path: Path) -> None:
    """Not even if that is killed: each would hold the write-ahead log as it is."""
    command = [sys.executable, "-c", FOREVER, str(path)]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as verifying, ExitStack() as stack:
        assert verifying.stdout
        working = [os.pidfd_open(int(pid)) for pid in verifying.stdout.readline().split()]
        assert len(working) == 3
        for process_fd in working:
            stack.callback(os.close, process_fd)
        verifying.kill()
        left = [process_fd for process_fd in working if not select.select([process_fd], [], [], 60)[0]]
        for process_fd in left:
            signal.pidfd_send_signal(process_fd, signal.SIGKILL)
        assert not left


async def test_a_log_that_is_gone_can_t_be_verified(path: Path) -> None:
    """That is an error and no finding."""
    async with audit_log.opened(path) as audit:
        path.rename(path.with_name("elsewhere.db"))
        with pytest.raises(Unavailable, match=f"the audit log {path} can't be read: there is no file {path}"):
            await audit.verify()


async def test_row_18_damage_that_writing_meets_ends_all_writing(path: Path) -> None:
    """Also what could be written still: the files stay as they are, and the message says what to do."""
    destroy_page(path, page_of(path, "releases_by_state"))
    wal = path.with_name("audit.db-wal")
    async with audit_log.opened(path) as audit:
        await audit.append(RELEASE, CommandStarted(command_index=1))
        before = path.read_bytes(), wal.read_bytes()
        advice = rf"{path} is damaged, .* `releasectl audit verify`, stop released and restore a backup"
        with pytest.raises(Unavailable, match=advice) as damaged:
            await audit.append("third", accepted("true"))
        assert damaged.value.reason == "AUDIT_DAMAGED"
        for refused in (audit.append(RELEASE, AFTER_OUTPUT[-1]), audit.check_room(), audit.probe()):
            with pytest.raises(Unavailable, match="is damaged"):
                await refused
        assert not audit.health.writable
        assert (await audit_log.bodies_of(audit, OTHER_RELEASE))[-3:] == list(AFTER_OUTPUT)
    assert (path.read_bytes(), wal.read_bytes()) == before


async def test_row_18_damage_that_reading_meets_ends_all_writing(path: Path) -> None:
    """Nothing is added to a file of which it is known that it is damaged."""
    destroy_page(path, page_of(path, "command_runs"))
    async with audit_log.opened(path) as audit:
        await audit.append(RELEASE, StateChanged(state=ReleaseState.RUNNING))
        with pytest.raises(Unavailable, match=f"{path} is damaged"):
            await audit.query.release(RELEASE)
        with pytest.raises(Unavailable, match=f"{path} is damaged"):
            await audit.append(RELEASE, StateChanged(state=ReleaseState.RUNNING))


async def test_rows_that_contradict_the_schema_do_not_end_writing(path: Path) -> None:
    """They are told, and the pages that they lie on are as good as before."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        strict = "WHERE name = 'command_runs' AND type = 'table'"
        ((sql,),) = connection.execute(f"SELECT sql FROM sqlite_schema {strict}").fetchall()  # noqa: S608
        connection.execute(f"UPDATE sqlite_schema SET sql = replace(sql, 'STRICT, ', '') {strict}")  # noqa: S608
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE command_runs SET exit_code = 'none' WHERE command_index = 0")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(f"UPDATE sqlite_schema SET sql = ? {strict}", (sql,))  # noqa: S608
    async with audit_log.opened(path) as audit:
        report = await audit.verify()
        assert (
            Problem("the database contradicts itself: non-INTEGER value in command_runs.exit_code")
            in report.problems
        )
        await audit.append(RELEASE, StateChanged(state=ReleaseState.RUNNING))


async def test_row_18_damage_that_verifying_meets_ends_all_writing(path: Path) -> None:
    """Nobody else has met it yet."""
    destroy_page(path, page_of(path, "command_runs"))
    async with audit_log.opened(path) as audit:
        assert (await audit.verify()).problems
        with pytest.raises(Unavailable, match=f"{path} is damaged"):
            await audit.append(RELEASE, StateChanged(state=ReleaseState.RUNNING))
