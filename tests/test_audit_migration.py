"""Migrating a log of schema 1: `data/audit_schema_1.sql` was written by the first daemon of this project.

One of schema 2, `data/audit_schema_2.sql`, by the writer of its time: two releases that failed, three that
succeeded, an outcome, and output that retention has removed.
"""

import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from released.audit.chain import GENESIS
from released.audit.compression import unpack
from released.audit.database import MIGRATIONS, REST
from released.audit.log import AuditLog
from released.errors import StartupError
from released.model.events import OWN
from released.model.receipt import Receipt
from released.model.states import Cause, ReleaseState
from support import audit_log
from support.audit_log import problems_of
from support.samples import RELEASE, accepted
from support.tampering import restored, tamper

DATA = Path(__file__).parent / "data"
DUMP = DATA / "audit_schema_1.sql"

Rows = list[tuple[Any, ...]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A log of schema 1."""
    path = tmp_path / "audit.db"
    restored(DUMP, path)
    return path


def rows_of(path: Path, sql: str) -> Rows:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def version_of(path: Path) -> int:
    ((version,),) = rows_of(path, "PRAGMA user_version")
    return int(version)


def in_columns_of_before(path: Path) -> dict[str, Rows]:
    """The tables that queries read, as far as schema 1 had them."""
    columns = {
        "releases": "release_id, accept_sequence, application, environment, request_id, state, cause, "
        "message, failed_index, image_id, image_digest, container_id, container_name, create_time, "
        "start_time, end_time",
        "release_labels": "release_id, key, value",
        "command_runs": "release_id, command_index, label, state, exit_code, signal, start_time, end_time, "
        "stdout_bytes, stderr_bytes, omitted_bytes",
    }
    return {
        table: rows_of(path, f"SELECT {names} FROM {table} ORDER BY 1, 2")  # noqa: S608 - as above
        for table, names in columns.items()
    }


async def test_events_and_output_stay_as_they_are(path: Path) -> None:
    """Each in its place, with the time that it had, and the daemon goes on behind them."""
    events = rows_of(
        path, "SELECT sequence, release_id, event_time, kind, body FROM events ORDER BY sequence"
    )
    outputs = rows_of(path, "SELECT sequence, bytes FROM outputs ORDER BY sequence")
    async with audit_log.opened(path) as audit:
        assert (await audit.append(RELEASE, accepted("true"))).sequence == len(events) + 1
    migrated = rows_of(
        path, "SELECT sequence, release_id, event_time, kind, body FROM events ORDER BY sequence"
    )
    assert migrated[:-1] == events
    stored = rows_of(path, "SELECT sequence, encoding, data FROM outputs ORDER BY sequence")
    assert [(sequence, unpack(encoding, data)) for sequence, encoding, data in stored] == outputs
    assert {encoding for _, encoding, _ in stored} == {"", "zstd"}
    assert version_of(path) == len(MIGRATIONS)


async def test_the_chain_is_sound_and_projections_are_what_they_were(path: Path) -> None:
    """Of releases that succeeded, failed, timed out, were cancelled and were adopted."""
    before = in_columns_of_before(path)
    async with audit_log.opened(path) as audit:
        assert (await audit.verify()).problems == []
        names = rows_of(path, "SELECT release_id FROM releases")
        found = [await audit.query.release(release_id) for (release_id,) in names]
    assert in_columns_of_before(path) == before
    assert problems_of(path) == []
    records = [record for record in found if record]
    failures = {record.failure.cause for record in records if record.failure}
    assert failures == {Cause.COMMAND_FAILED, Cause.RELEASE_TIMED_OUT, Cause.IMAGE_UNAVAILABLE}
    assert {record.state for record in records} == {
        ReleaseState.SUCCEEDED,
        ReleaseState.FAILED,
        ReleaseState.CANCELLED,
    }
    assert all(record.receipt for record in records)


async def test_the_daemons_own_events_are_there(path: Path) -> None:
    """And in the chain with all others."""
    async with audit_log.opened(path):
        pass
    kinds = {kind for (kind,) in rows_of(path, f"SELECT kind FROM events WHERE release_id = '{OWN}'")}  # noqa: S608
    assert kinds == {"access_denied", "configuration_reloaded", "configuration_refused", "drain_begun"}
    ((first,),) = rows_of(path, "SELECT digest FROM events WHERE sequence = 1")
    assert first != GENESIS


DIE = """
import asyncio, os, signal, sys
from pathlib import Path
from released.audit import rechaining
from released.audit.log import AuditLog

class Dying(rechaining.Rows):
    def add(self, *event):
        super().add(*event)
        if self.head.sequence == 50:
            os.kill(os.getpid(), signal.SIGKILL)

rechaining.Rows, rechaining.AT_ONCE = Dying, 10
asyncio.run(AuditLog.open(Path(sys.argv[1])))
"""


async def test_a_crash_in_the_middle_leaves_schema_1(path: Path) -> None:
    """And the next start migrates it."""
    before = (
        in_columns_of_before(path),
        rows_of(path, "SELECT * FROM events"),
        rows_of(path, "SELECT * FROM outputs"),
    )
    killed = subprocess.run([sys.executable, "-c", DIE, path], check=False)  # noqa: ASYNC221
    assert killed.returncode == -9
    after = (
        in_columns_of_before(path),
        rows_of(path, "SELECT * FROM events"),
        rows_of(path, "SELECT * FROM outputs"),
    )
    assert (version_of(path), after) == (1, before)
    async with audit_log.opened(path) as audit:
        assert (await audit.verify()).problems == []


async def test_an_event_that_can_t_be_understood_leaves_schema_1(path: Path) -> None:
    """The message names it, and says what to do."""
    tamper(path, "UPDATE events SET body = '{' WHERE sequence = 50")
    await audit_log.check_refused(
        path, r"event 50 of the audit log can't be taken into the hash chain: .*backup"
    )
    assert (version_of(path), len(rows_of(path, "SELECT * FROM events"))) == (1, 99)


@pytest.mark.parametrize(
    ("statement", "sequence", "reason"),
    [
        pytest.param(
            "DELETE FROM outputs WHERE sequence = 50; DELETE FROM events WHERE sequence = 50",
            51,
            "the one before is missing, 50",
            id="a gap",
        ),
        pytest.param("DELETE FROM events WHERE sequence = 1", 2, "is missing, 1", id="the first"),
        pytest.param(
            "UPDATE events SET sequence = 1000 WHERE sequence = 50; "
            "UPDATE outputs SET sequence = 1000 WHERE sequence = 50",
            51,
            "is missing, 50",
            id="moved",
        ),
        pytest.param(
            "UPDATE events SET sequence = -1 WHERE sequence = 1", -1, "is missing, 1", id="in front"
        ),
        pytest.param(
            "UPDATE events SET kind = 'drain_begun' WHERE sequence = 1",
            1,
            "it is stored as drain_begun, and says that it is ",
            id="another kind",
        ),
        pytest.param(
            "INSERT INTO outputs VALUES (1000, x'00')",
            1000,
            "only its output is there",
            id="output of nothing",
        ),
    ],
)
async def test_a_log_in_which_something_was_moved_leaves_schema_1(
    path: Path, statement: str, sequence: int, reason: str
) -> None:
    """A digest must not vouch for what its first verifier would have found."""
    tamper(path, statement)
    before = rows_of(path, "SELECT * FROM events")
    await audit_log.check_refused(path, f"event {sequence} of the audit log .*: .*{reason}")
    assert (version_of(path), rows_of(path, "SELECT * FROM events")) == (1, before)


async def test_a_trigger_that_somebody_dropped_is_made_anew(path: Path) -> None:
    """It is no reason not to start: that of schema 2 is there afterwards."""
    with closing(sqlite3.connect(path)) as connection:
        names = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        ]
        for name in names:
            connection.execute(f"DROP TRIGGER {name}")
    assert len(names) == 6
    async with audit_log.opened(path):
        pass
    assert problems_of(path) == []


MIGRATE_AND_TELL_MEMORY = """
import asyncio, resource, sys
from pathlib import Path
from released.audit.database import open_for_writing

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main():
    connection = await open_for_writing(Path(sys.argv[1]))
    await connection.close()

asyncio.run(main())
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_log_does_not_have_to_fit_in_memory(path: Path) -> None:
    """Events are read and written a few at a time."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(
            "BEGIN; WITH RECURSIVE number(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM number LIMIT 2000) "
            "INSERT INTO events SELECT i, '', 1, 'command_output', "
            """'{"kind":"command_output","stream":"STDOUT"}' FROM number; """
            "INSERT INTO outputs SELECT sequence, randomblob(65536) FROM events WHERE sequence >= 100; COMMIT"
        )
    size_kib = path.stat().st_size // 1024
    done = subprocess.run(
        [sys.executable, "-c", MIGRATE_AND_TELL_MEMORY, path], capture_output=True, text=True, check=True
    )
    assert size_kib > 128_000
    assert int(done.stdout) < size_kib / 2
    assert version_of(path) == len(MIGRATIONS)


async def test_the_service_manager_is_asked_for_patience(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration that takes longer than a start may take would be killed, and begun anew, for ever."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        async with audit_log.opened(path):
            assert manager.recv(1000, socket.MSG_DONTWAIT) == b"EXTEND_TIMEOUT_USEC=60000000"


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A log of schema 2."""
    path = tmp_path / "second.db"
    restored(DATA / "audit_schema_2.sql", path)
    return path


TABLES = ("events", "outputs", "checkpoints", "releases", "release_labels", "command_runs")


async def test_schema_2_keeps_every_row_as_it_is(second: Path) -> None:
    """The chain among them: a receipt from before is still true, and nothing is derived anew."""
    before = {table: rows_of(second, f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}  # noqa: S608
    ((head, digest),) = rows_of(second, "SELECT max(sequence), digest FROM events")
    async with audit_log.opened(second) as audit:
        assert audit.head == Receipt(head, digest)
        report = await audit.verify([Receipt(head, digest)])
        assert (report.problems, report.unchecked_receipts) == ([], [])
        names = rows_of(second, "SELECT release_id FROM releases ORDER BY accept_sequence")
        found = [await audit.query.release(release_id) for (release_id,) in names]
        await audit.append("third", accepted("true"))
    assert version_of(second) == len(MIGRATIONS)
    for table, rows in before.items():
        width = len(rows[0])
        after = rows_of(second, f"SELECT * FROM {table} ORDER BY 1, 2")  # noqa: S608
        assert [row[:width] for row in after if row[0] not in ("third", head + 1)] == rows, table
    assert [record.state for record in found if record] == ["FAILED"] * 2 + ["SUCCEEDED"] * 3
    assert all(record.commands_known and not record.rollback for record in found if record)


async def test_schema_3_gets_what_came_later(second: Path) -> None:
    """What it says of commands and rollbacks is as it was; what it could not say is there afterwards."""
    with closing(sqlite3.connect(second)) as connection:
        connection.executescript(f"{MIGRATIONS[2].read_text()}; PRAGMA user_version = 3;")
    runs = rows_of(second, "SELECT * FROM command_runs ORDER BY 1, 2")
    async with audit_log.opened(second) as audit:
        assert (await audit.verify()).problems == []
    assert version_of(second) == len(MIGRATIONS)
    assert rows_of(second, "SELECT * FROM command_runs ORDER BY 1, 2") == [(*run, 0) for run in runs]
    ((index,),) = rows_of(second, "SELECT sql FROM sqlite_schema WHERE name = 'releases_by_rollback'")
    assert index.endswith("AND retry_of IS NULL")


async def test_a_crash_leaves_schema_2(second: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a migration is none; the next start does all of it."""
    before = rows_of(second, "SELECT name, sql FROM sqlite_schema ORDER BY 1")

    def fail(connection: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setitem(REST, MIGRATIONS[2].name, fail)
        with pytest.raises(StartupError, match="disk I/O error"):
            await AuditLog.open(second)
    assert (version_of(second), rows_of(second, "SELECT name, sql FROM sqlite_schema ORDER BY 1")) == (
        2,
        before,
    )
    async with audit_log.opened(second) as audit:
        assert (await audit.verify()).problems == []
