"""Opening a log's database so that nothing of it is changed, whoever has it open or not."""

import sqlite3
from pathlib import Path

LIVE = "mode=ro"
ABANDONED = "mode=ro&vfs=unix-none"
COMPLETE = "immutable=1"


def open_unchanged(path: Path) -> sqlite3.Connection:
    """Open the database at `path` for reading. Raises sqlite3.Error.

    Text that is not UTF-8 is read as well, its bytes as Python reads such names of files.
    """
    way = _way_to(path)
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?{way}", uri=True, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    if way == ABANDONED:
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    return connection


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
