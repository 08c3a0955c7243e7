"""Opening the audit log's database: its settings, its file, its schema and its migrations."""

import os
import re
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from released.audit import database
from released.audit.database import MIGRATIONS, open_for_writing
from released.audit.log import AuditLog
from support import audit_log
from support.samples import RELEASE, accepted

NEWEST = len(MIGRATIONS)

APPEND_AND_DIE = f"""
import asyncio, os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from released.audit.log import AuditLog
from support.samples import accepted

async def main():
    audit = await AuditLog.open(Path(sys.argv[1]))
    await audit.append({RELEASE!r}, accepted("true"))
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "audit.db"


def user_version(path: Path) -> int:
    connection = sqlite3.connect(path)
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.close()
    return int(version)


def tables(path: Path) -> set[str]:
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    connection.close()
    return {name for (name,) in rows}


async def test_commits_are_on_the_disk_when_they_return(path: Path) -> None:
    """A write-ahead log that is synchronised in full."""
    connection = await open_for_writing(path)
    settings = {}
    for pragma in ("journal_mode", "synchronous", "foreign_keys"):
        async with connection.execute(f"PRAGMA {pragma}") as cursor:
            (row,) = await cursor.fetchall()
            settings[pragma] = row[0]
    await connection.close()
    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_only_the_owner_can_read_the_log(path: Path) -> None:
    """What commands print may be confidential; that goes for SQLite's files beside it, too."""
    before = os.umask(0)
    try:
        async with audit_log.opened(path) as audit:
            await audit.append(RELEASE, accepted("true"))
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    files = ("audit.db", "audit.db-wal", "audit.db-shm", "audit.db.reserve")
    assert modes == dict.fromkeys(files, 0o600)


async def test_what_was_durable_survives_kill_9(path: Path) -> None:
    """And the log can be opened and goes on."""
    killed = subprocess.run([sys.executable, "-c", APPEND_AND_DIE, str(path)], check=False)  # noqa: ASYNC221
    assert killed.returncode == -9
    async with audit_log.opened(path) as audit:
        assert await audit_log.bodies_of(audit, RELEASE) == [accepted("true")]
        assert (await audit.append("next", accepted("true"))).sequence == 2


async def test_log_is_made_from_nothing(path: Path) -> None:
    """Folder, file and schema."""
    async with audit_log.opened(path):
        pass
    assert user_version(path) == len(MIGRATIONS)
    assert {"events", "outputs", "releases", "release_labels", "command_runs"} <= tables(path)


async def test_log_is_made_from_an_empty_file(path: Path) -> None:
    """A crash right after the file was made leaves one."""
    path.parent.mkdir()
    path.touch()
    async with audit_log.opened(path) as audit:
        assert (await audit.append(RELEASE, accepted("true"))).sequence == 1


async def test_schema_is_made_once(path: Path) -> None:
    """Opening a log again changes nothing in it."""
    async with audit_log.opened(path) as audit:
        await audit.append(RELEASE, accepted("true"))
    before = path.read_bytes()
    async with audit_log.opened(path):
        pass
    assert path.read_bytes() == before


def test_migrations_are_numbered_without_gaps() -> None:
    """Their number is what a database says it has."""
    assert [file.name[:5] for file in MIGRATIONS] == [
        f"{number:04}_" for number in range(1, len(MIGRATIONS) + 1)
    ]


@pytest.fixture
def one_more_migration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The schema, and one more migration to be written by the test."""
    more = tmp_path / f"{NEWEST + 1:04}_more.sql"
    monkeypatch.setattr(database, "MIGRATIONS", [*MIGRATIONS, more])
    return more


async def test_log_of_an_older_version_is_migrated(path: Path, one_more_migration: Path) -> None:
    """What it has stays, and what is new is added."""
    old = await opened_with(MIGRATIONS, path)
    await old.append(RELEASE, accepted("true"))
    await old.close()
    one_more_migration.write_text("CREATE TABLE more (a INTEGER) STRICT;")
    async with audit_log.opened(path) as audit:
        assert await audit_log.bodies_of(audit, RELEASE) == [accepted("true")]
    assert user_version(path) == NEWEST + 1
    assert "more" in tables(path)


async def opened_with(migrations: Sequence[object], path: Path) -> AuditLog:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", migrations)
        return await AuditLog.open(path)


async def test_migration_that_fails_leaves_the_log_as_it_was_before_it(
    path: Path, one_more_migration: Path
) -> None:
    """Nothing of it remains; those before it do, and the next start goes on from there."""
    one_more_migration.write_text("CREATE TABLE more (a INTEGER) STRICT;\nINSERT INTO missing VALUES (1);")
    await audit_log.check_refused(path, rf"the audit log {path} can't be used: no such table: .*missing")
    assert (user_version(path), "more" in tables(path), "events" in tables(path)) == (NEWEST, False, True)
    one_more_migration.write_text("CREATE TABLE more (a INTEGER) STRICT;")
    async with audit_log.opened(path):
        assert (user_version(path), "more" in tables(path)) == (NEWEST + 1, True)


DIE_IN_MIGRATION = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA journal_mode = WAL")
connection.executescript("BEGIN IMMEDIATE;" + sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


async def test_crash_in_the_middle_of_a_migration_leaves_the_log_as_it_was_before_it(path: Path) -> None:
    """The next start does it again, from its beginning."""
    path.parent.mkdir()
    half = MIGRATIONS[0].read_text().partition("CREATE TABLE releases")[0]
    killed = subprocess.run([sys.executable, "-c", DIE_IN_MIGRATION, str(path), half], check=False)  # noqa: ASYNC221
    assert killed.returncode == -9
    async with audit_log.opened(path) as audit:
        assert (await audit.append(RELEASE, accepted("true"))).sequence == 1


@pytest.mark.parametrize("journal_mode", ["WAL", "DELETE"])
async def test_log_of_a_newer_version_is_refused_and_stays_as_it_is(path: Path, journal_mode: str) -> None:
    """The message says what to start in place of this one."""
    async with audit_log.opened(path) as audit:
        await audit.append(RELEASE, accepted("true"))
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA journal_mode = {journal_mode}")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    before = path.read_bytes()
    refusal = f"the audit log {path} has schema {len(MIGRATIONS) + 1}, this version of released knows up to"
    await audit_log.check_refused(path, re.escape(refusal))
    assert path.read_bytes() == before


async def test_file_that_is_no_database_is_refused_and_stays_as_it_is(path: Path) -> None:
    """A wrong setting does not cost anybody a file."""
    path.parent.mkdir()
    path.write_text("precious " * 1000)
    await audit_log.check_refused(path, rf"the audit log {path} can't be used: file is not a database")
    assert path.read_text() == "precious " * 1000


async def test_log_that_another_program_has_locked_is_not_told_to_be_moved_away(path: Path) -> None:
    """It is as good as it was; the lock that SQLite names is what is to be seen to."""
    async with audit_log.opened(path):
        pass
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        await audit_log.check_refused(path, rf"^the audit log {path} can't be used: database is locked$")


async def test_log_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """With what the system says."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "audit.db"
    await audit_log.check_refused(
        path, rf"the audit log {path} can't be opened: .*Not a directory|File exists"
    )


async def test_log_that_is_opened_though_it_should_be_refused_fails_the_test(path: Path) -> None:
    """And is closed: with its threads, pytest would not end."""
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        await audit_log.check_refused(path, "refused")
