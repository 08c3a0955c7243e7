"""Verifying the schema of an audit log: whatever is missing, changed or added is told."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from released.audit.verification.findings import Problem
from support.audit_log import problems_of
from support.tampering import ALTERED, tamper
from support.two_releases import two_releases


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with two releases, and an event of the daemon itself."""
    return await two_releases(tmp_path / "audit.db")


def test_another_schema_is_told(path: Path) -> None:
    """Without its triggers a log could be changed by mistake."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TRIGGER events_stay")
        connection.execute("DROP INDEX releases_by_state")
        connection.execute("CREATE INDEX releases_by_state ON releases (state)")
        connection.execute("CREATE TABLE notes (text TEXT)")
    assert problems_of(path) == [
        Problem("of the schema, missing: trigger events_stay"),
        Problem("of the schema, not the daemon's: table notes"),
        Problem("of the schema, another than the daemon's: index releases_by_state"),
    ]


@pytest.mark.parametrize("name", ["sqlite_hidden", "sqlite_stat1", "sqlite_autoindex_events_1"])
def test_a_trigger_can_t_hide(path: Path, name: str) -> None:
    """Not behind a name of SQLite's own, which nobody can give but by editing the schema itself."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            "CREATE TRIGGER evil BEFORE INSERT ON events WHEN NEW.kind = 'outcome_reported' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_schema SET name = ?1, sql = replace(sql, name, ?1) WHERE name = 'evil'", (name,)
        )
    assert problems_of(path) == [Problem(f"of the schema, not the daemon's: trigger {name}")]


def test_what_sqlite_keeps_for_itself_is_no_problem(path: Path) -> None:
    """Statistics that somebody has made so that queries are planned better."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("ANALYZE")
    assert problems_of(path) == []


def test_a_table_less_is_told(path: Path) -> None:
    """And what else there is to see is looked at."""
    tamper(path, "UPDATE events SET event_time = 0 WHERE sequence = 3")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE command_runs")
    problems = problems_of(path)
    assert Problem("of the schema, missing: table command_runs, trigger command_runs_are_kept") in problems
    assert Problem("the table command_runs can't be read: no such table: command_runs") in problems
    assert Problem(ALTERED, 3) in problems
