"""Opening a log's database so that nothing of it is changed, whoever has it open or not."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from released.audit.verification.findings import Problem

LIVE = "mode=ro"
ABANDONED = "mode=ro&vfs=unix-none"
COMPLETE = "immutable=1"

FORMAT = slice(18, 20)
WAL = b"\2\2"
"""The file's format versions, and what they are with a write-ahead log (sqlite.org/fileformat.html)."""


class Source(NamedTuple):
    """The database of a log."""

    path: Path
    """The file itself, and no link to it: beside it SQLite has its others."""
    is_live: bool
    """Whether it is known that a daemon has it open."""

    @classmethod
    def of(cls, path: Path, *, is_live: bool = False) -> Self:
        """What `path` leads to."""
        return cls(Path(os.path.realpath(path)), is_live)

    def open(self) -> sqlite3.Connection:
        """Open the database for reading. Raises sqlite3.Error."""
        way = LIVE if self.is_live else _way_to(self.path)
        connection = sqlite3.connect(f"{self.path.as_uri()}?{way}", uri=True, isolation_level=None)
        connection.execute("PRAGMA query_only = ON")
        if way == ABANDONED:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        return connection

    def journal_problems(self) -> Iterator[Problem]:
        """Tell of what makes others see another database than the one that is looked at here.

        Raises OSError.
        """
        journal = self.path.with_name(self.path.name + "-journal")
        if os.path.lexists(journal):
            yield Problem(
                f"a rollback journal, {journal.name}, lies beside the database: whoever opens it may make "
                "other content of it than was verified"
            )
        with self.path.open("rb") as file:
            versions = file.read(FORMAT.stop)[FORMAT]
        if self.is_live and versions != WAL:
            yield Problem("the database of a daemon that runs is not in the journal mode WAL")


def _way_to(path: Path) -> str:
    """Tell who else may have the database open, by the files beside it.

    Whoever has it open shares an index of the write-ahead log in a file, and so do we then. Without that
    file nobody has it open, of a copy for instance: the index is made in memory (sqlite.org/wal.html#noshm),
    which works on a read-only disk as well. Without a write-ahead log, the database is complete by itself.
    """
    log, index = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if not log.exists():
        return COMPLETE
    if index.exists():
        return LIVE
    return ABANDONED if log.stat().st_size else COMPLETE


def text_of(data: bytes) -> str:
    """For connections that read what the daemon has not written: text that is not UTF-8."""
    return data.decode(errors="surrogateescape")
