"""Verifying an audit log without a daemon: databases in any state, and how the process says so."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from released.audit.database import MIGRATIONS
from released.audit.verification.findings import Problem
from released.audit.verification.log_file import verify_database
from released.model.events import CommandOutput, StateChanged
from released.model.states import ReleaseState, Stream
from support import audit_log
from support.audit_log import problems_of
from support.daemon import BIN
from support.exported import lines_of, write
from support.samples import RELEASE, accepted
from support.small_disk import small_disk

OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)
EVENTS = 5


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with output that is stored compressed and as it came."""
    path = tmp_path / "log" / "audit.db"
    async with audit_log.opened(path) as audit:
        audit.append(RELEASE, accepted("a"))
        audit.append_output(RELEASE, [(OUTPUT, b"x" * 5000), (OUTPUT, b"\xff\0"), (OUTPUT, b"")])
        await audit.append(RELEASE, StateChanged(state=ReleaseState.SUCCEEDED))
    return path


def state_of(folder: Path) -> dict[str, tuple[str, int]]:
    return {
        file.name: (sha256(file.read_bytes()).hexdigest(), file.stat().st_mtime_ns)
        for file in folder.iterdir()
        if not file.name.endswith("-shm")
    }


async def test_a_log_that_is_being_written_is_verified(path: Path) -> None:
    """With what is in the write-ahead log, and nothing of it is changed."""
    async with audit_log.opened(path) as audit:
        await audit.append(RELEASE, StateChanged(state=ReleaseState.RUNNING))
        before = state_of(path.parent)
        assert path.with_name("audit.db-wal").stat().st_size
        assert verify_database(path).event_count == EVENTS + 1
        assert state_of(path.parent) == before


@pytest.mark.parametrize("beside", [(), ("-wal",), ("-wal", "-shm")], ids="".join)
@pytest.mark.parametrize("read_only", [False, True])
async def test_a_copy_is_verified_and_stays_as_it_is(
    path: Path, tmp_path: Path, beside: Sequence[str], read_only: bool
) -> None:
    """Without what others have beside it, and on a disk that can't be written."""
    with small_disk(tmp_path / "disk", 8192) as disk:
        async with audit_log.opened(path) as audit:
            await audit.append(RELEASE, StateChanged(state=ReleaseState.RUNNING))
            for suffix in ("", *beside):
                shutil.copy2(path.with_name(f"audit.db{suffix}"), disk)
        before = state_of(disk)
        if read_only:
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)  # noqa: ASYNC221
        report = verify_database(disk / "audit.db")
        assert (report.problems, report.event_count) == ([], EVENTS + bool(beside))
        assert state_of(disk) == before


JOURNAL = (
    "a rollback journal, audit.db-journal, lies beside the database: whoever opens it may make other content "
    "of it than was verified"
)


def test_what_a_rollback_journal_hides_is_told(path: Path, tmp_path: Path) -> None:
    """The file shows one thing, and everybody who opens it sees another: what the journal brings back."""
    hiding = tmp_path / "hiding"
    hiding.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        assert problems_of(path) == []
        connection.execute("UPDATE releases SET state = 'FAILED'")
        assert problems_of(path) != []
        # Back to what it was, in a transaction that is broken off once its changes are in the file.
        connection.executescript(
            "PRAGMA cache_size = 1; BEGIN EXCLUSIVE; UPDATE releases SET state = 'SUCCEEDED'"
        )
        for table in ("events", "outputs", "command_runs", "release_labels"):
            connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - names of ours
        for suffix in ("", "-journal"):
            shutil.copy2(path.with_name(f"audit.db{suffix}"), hiding)
    before = state_of(hiding)
    assert problems_of(hiding / "audit.db") == [Problem(JOURNAL)]
    assert state_of(hiding) == before
    with closing(sqlite3.connect(hiding / "audit.db")) as connection:
        assert connection.execute("SELECT state FROM releases").fetchone() == ("FAILED",)


def test_a_live_log_without_a_write_ahead_log_is_told(path: Path) -> None:
    """The daemon makes it with one; of a backup, that is no problem."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    assert problems_of(path) == []
    assert verify_database(path, is_live=True).problems == [
        Problem("the database of a daemon that runs is not in the journal mode WAL")
    ]


def verify_offline(*arguments: str | Path, **options: Any) -> tuple[int, str, str]:
    done = subprocess.run(
        [BIN / "releasectl", "audit", "verify", *arguments],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


def test_releasectl_verifies_without_a_daemon(path: Path, tmp_path: Path) -> None:
    """A database and an export alike; it names the receipt to be noted."""
    export = write(tmp_path / "export", lines_of(path))
    digest = lines_of(path)[-1]["digest"]
    for file in (path, export):
        what = "the audit log is sound: 5 events" if file == path else "the export is sound: events 1 to 5"
        sound = f"{what} (receipt 5:{digest})\n"
        assert verify_offline("--offline", file, f"--receipt=5:{digest}") == (0, "", sound)
        code, output, _ = verify_offline("--offline", file, f"--receipt=5:{'0' * 64}", "--json")
        found = json.loads(output)
        assert (code, found["event_count"], found["head"]) == (1, "5", {"sequence": "5", "digest": digest})
        assert len(found["problems"]) == 1


def test_releasectl_tells_of_a_receipt_of_what_is_not_there(path: Path, tmp_path: Path) -> None:
    """It concerns no event of the log, in the text and in the JSON."""
    receipt = f"9:{'0' * 64}"
    for file, what in ((path, "log"), (write(tmp_path / "export", lines_of(path)), "export")):
        description = (
            f"the receipt {receipt} is of an event behind the end of the {what}, which is event 5: "
            "it was cut off, or is from before"
        )
        arguments = ("--offline", file, f"--receipt={receipt}")
        assert verify_offline(*arguments) == (1, f"log  {description}\n", "")
        found = json.loads(verify_offline(*arguments, "--json")[1])
        assert found["problems"] == [{"description": description}]


def test_releasectl_says_why_a_log_can_t_be_verified(path: Path, tmp_path: Path) -> None:
    """With the exit codes of everything else."""
    missing = tmp_path / "missing"
    assert verify_offline("--offline", missing) == (3, "", f"releasectl: there is no file {missing}\n")
    code, _, message = verify_offline("--offline", path, "--receipt", "5")
    assert (code, "a receipt is written SEQUENCE:DIGEST" in message) == (2, True)


def test_nothing_at_all_is_not_sound(tmp_path: Path) -> None:
    """A backup that was cut off to nothing, and what can't be read twice."""
    empty, fifo = tmp_path / "empty", tmp_path / "fifo"
    empty.touch()
    os.mkfifo(fifo)
    assert verify_offline("--offline", empty) == (
        1,
        "",
        f"releasectl: {empty} can't be verified: it is empty: neither a database nor an export\n",
    )
    for file in (fifo, tmp_path, Path(os.devnull), Path("/dev/stdin")):
        refusal = f"releasectl: {file} can't be verified: it is no regular file\n"
        assert verify_offline("--offline", file) == (1, "", refusal)


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (len(MIGRATIONS) + 1, f"schema {len(MIGRATIONS) + 1}, this version knows up to {len(MIGRATIONS)}"),
        (1, "schema 1, whose events have no hash chain yet: start this version of released on it"),
    ],
)
def test_another_schema_is_refused_and_the_file_stays_as_it_is(
    path: Path, version: int, message: str
) -> None:
    """The message says what to do."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    before = state_of(path.parent)
    code, output, error = verify_offline("--offline", path)
    assert (code, output, message in error) == (1, "", True)
    assert state_of(path.parent) == before


def test_no_module_of_the_working_directory_is_run(path: Path, tmp_path: Path) -> None:
    """Whoever verifies a log that others have sent may stand in a folder of theirs."""
    trap = tmp_path / "trap" / "released"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text("raise SystemExit('trapped')")
    assert verify_offline("--offline", path, cwd=trap.parent)[0] == 0


def test_a_log_may_be_named_as_an_option_is(path: Path) -> None:
    """The name of a file is never taken for anything else."""
    path.rename(path.with_name("--help"))
    assert verify_offline("--offline", "--help", cwd=path.parent)[0] == 0


def test_verifying_gives_way_to_everything_else(path: Path) -> None:
    """The process has the lowest priority."""
    niceness = (
        "import os, runpy, sys; sys.argv[1:] = [sys.argv[1]]\n"
        "try: runpy.run_module('released.audit.verification', run_name='__main__')\n"
        "finally: print(os.nice(0), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", niceness, path],
        capture_output=True,
        text=True,
        check=False,
        env=dict(os.environ),
    )
    assert (done.returncode, done.stderr) == (0, "19\n")
