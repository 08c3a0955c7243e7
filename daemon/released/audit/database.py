"""Opening the audit log's database: its settings, its schema, and its migrations."""

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

import aiosqlite

from released.audit.chain import GENESIS
from released.audit.faults import unusable
from released.audit.rechaining import rechain
from released.audit.times import as_time
from released.errors import StartupError, StoredDataError
from released.model.receipt import Receipt
from released.systemd import taking_time_to_start

logger = logging.getLogger(__name__)

MIGRATIONS = sorted(
    (file for file in files("released.audit").joinpath("schema").iterdir() if file.name.endswith(".sql")),
    key=lambda file: file.name,
)
"""Migration N, counted from 1, takes a database from user_version N - 1 to N."""

REST = {"0002_hash_chain.sql": rechain}
"""What SQL alone does not do of a migration; it belongs to the same transaction."""

INCREMENTAL = 2
"""`PRAGMA auto_vacuum`: what is deleted can be given back to the disk, a few pages at a time."""

BUSY_SECONDS = 1.0
"""How long a statement waits for another process's lock; the writer tries again after that."""

CHECKPOINT_PAGES = 1000
"""SQLite's own default."""

APPLICATION_ID = 0x52504831
"""What marks a database as an audit log of ours (`PRAGMA application_id`): "RPH1"."""


Result = TypeVar("Result")


class WritingConnection(aiosqlite.Connection):
    """A connection whose thread does work of several statements in one go.

    Statement by statement, the event loop and the thread would wait for one another before each of them,
    and for the interpreter's lock, which a busy loop keeps for milliseconds.
    """

    async def do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Have work done in the connection's thread, to its end, whether or not somebody still awaits it."""
        result: Result = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]
        return result


async def open_for_writing(path: Path) -> WritingConnection:
    """Open the database for its one writer, made or migrated where needed.

    Raises StartupError when it can't be opened, or was written by a newer version.
    """
    try:
        _create_private(path)
    except OSError as error:
        raise StartupError(f"the audit log {path} can't be opened: {error}") from error
    try:
        # A migration takes as long as it takes, and would be begun anew if it was killed.
        async with taking_time_to_start():
            prepared = await asyncio.to_thread(_prepare, path)
        with closing(prepared):
            # Meanwhile, since whoever closes last writes all of the write-ahead log into the database:
            # on a full disk that takes the room that is left for results.
            return await _open(path)
    except sqlite3.Error as error:
        raise unusable(error, path) from error


async def open_for_reading(path: Path) -> aiosqlite.Connection:
    """Open the database for queries; nothing can be written through this connection."""
    connection = await aiosqlite.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    try:
        await connection.execute("PRAGMA query_only = ON")
        # Its files are opened when it reads first, and as long as they are, who else closes is not the last.
        await head_of(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


async def head_of(connection: aiosqlite.Connection) -> Receipt:
    """Return the newest event's sequence and digest: what the next one is chained to."""
    async with connection.execute("SELECT max(sequence), digest FROM events") as cursor:
        row = await cursor.fetchone()
    return Receipt(*row) if row and row[0] is not None else Receipt(0, GENESIS)


async def last_time_of(connection: aiosqlite.Connection) -> datetime | None:
    """Return when the newest event was recorded, by the clock of then; None in an empty log."""
    rows = await connection.execute_fetchall("SELECT event_time FROM events ORDER BY sequence DESC LIMIT 1")
    for (time,) in rows:
        with suppress(OverflowError):  # no clock says that: somebody has edited it
            return as_time(time)
    return None


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write what the block writes, all or nothing."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors, a full disk among them.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


async def set_checkpoints(connection: aiosqlite.Connection, *, enabled: bool) -> None:
    """Say whether commits move what is in the write-ahead log into the database from time to time.

    On a full disk that takes what room there is, and does not get far enough to give any back.
    """
    await connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES if enabled else 0}")


def write_nothing(connection: sqlite3.Connection) -> None:
    """Write a page in the transaction under way, as it was."""
    connection.execute(f"PRAGMA user_version = {_number(connection, 'PRAGMA user_version')}")


def _create_private(path: Path) -> None:
    """Make the file readable by nobody else: what commands print may be confidential."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


async def _open(path: Path) -> WritingConnection:
    connect = partial(sqlite3.connect, path, isolation_level=None, timeout=BUSY_SECONDS)
    connection = WritingConnection(connect, iter_chunk_size=1)
    await connection
    try:
        # FULL: a commit is on the disk when it returns, even if the power fails then.
        await connection.execute("PRAGMA synchronous = FULL")
        await connection.execute("PRAGMA foreign_keys = ON")
        await head_of(connection)  # its files are opened when it reads first
    except BaseException:
        await connection.close()
        raise
    return connection


def _prepare(path: Path) -> sqlite3.Connection:
    """Make the database, or migrate it; return a connection that nothing more is done with."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False)
    try:
        # First: the log of a newer version is left as it is.
        version = _known_version(connection, path)
        if not version:
            # Before anything else is written, or it has no effect without a VACUUM.
            connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
            if version:
                logger.warning("migrating the audit log %s to schema %d: this takes a while", path, number)
            _migrate(connection, migration.name, migration.read_text(), number)
        if _number(connection, "PRAGMA auto_vacuum") != INCREMENTAL:
            _vacuum(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _known_version(connection: sqlite3.Connection, path: Path) -> int:
    version = _number(connection, "PRAGMA user_version")
    tables = _number(connection, "SELECT count(*) FROM sqlite_schema")
    if tables and _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise StoredDataError(f"{path} is another program's database: set [audit] path to another file")
    if version > len(MIGRATIONS):
        raise StoredDataError(
            f"the audit log {path} has schema {version}, this version of released knows up to "
            f"{len(MIGRATIONS)}: start the version that wrote it, or a newer one",
        )
    return version


def _migrate(connection: sqlite3.Connection, name: str, sql: str, number: int) -> None:
    """Take one step, in one transaction, so that a crash leaves the schema before or after it."""
    try:
        connection.executescript(f"BEGIN IMMEDIATE;\n{sql}")
        if rest := REST.get(name):
            rest(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {number}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _vacuum(connection: sqlite3.Connection, path: Path) -> None:
    """Write a database anew that can't give back room, and give back what a migration left."""
    try:
        connection.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
        connection.execute("VACUUM")
    except sqlite3.Error as error:
        logger.warning("room in the audit log %s can't be given back to the disk yet: %s", path, error)


def _number(connection: sqlite3.Connection, sql: str) -> int:
    (number,) = connection.execute(sql).fetchone()
    return int(number)
