"""Tampering with an audit log's file, as somebody who may write it can: with the `sqlite3` shell."""

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from support import debian

ALTERED = "the event does not follow from the one before it by its digest: one of them was changed"
"""What verifying says of an event that was edited."""


def tamper(database: Path, *statements: str) -> None:
    """Drop the triggers, change what they forbid, and put them back, so that nothing else is to be seen.

    Of a table that is gone by then, there are none.
    """
    with closing(sqlite3.connect(database)) as connection:
        triggers = connection.execute(
            "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger'"
        ).fetchall()
    drops = [f"DROP TRIGGER {name}" for name, _, _ in triggers]
    _shell(database, ";\n".join([*drops, *statements]) + ";")
    tables = _shell(database, "SELECT name FROM sqlite_schema WHERE type = 'table'").split()
    _shell(database, "".join(f"{sql};\n" for _, table, sql in triggers if table in tables))


@contextmanager
def without_triggers(database: Path) -> Iterator[sqlite3.Connection]:
    """Change a log until the end of the block by what the shell can't do, such as making digests."""
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for _, sql in triggers:
            connection.execute(sql)


def restored(dump: Path, database: Path) -> None:
    """Make a database of what `sqlite3 .dump` wrote."""
    _shell(database, dump.read_text())


def _shell(database: Path, script: str) -> str:
    debian.require({"sqlite3": "sqlite3"})
    program = debian.which("sqlite3")
    assert program is not None
    done = subprocess.run(
        [program, "-bail", database], input=script, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout
