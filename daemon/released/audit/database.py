"""Opening the audit log's database: its settings, its schema, and its migrations."""

import os
import sqlite3
from importlib.resources import files
from pathlib import Path

import aiosqlite

from released.errors import StartupError

MIGRATIONS = sorted(
    (file for file in files("released.audit").joinpath("schema").iterdir() if file.name.endswith(".sql")),
    key=lambda file: file.name,
)
"""Migration N, counted from 1, takes a database from user_version N - 1 to N."""

BUSY_SECONDS = 1.0
"""How long a statement waits for another process's lock; the writer tries again after that."""

CHECKPOINT_PAGES = 1000
"""SQLite's own default."""

APPLICATION_ID = 0x52504831
"""What marks a database as an audit log of ours (`PRAGMA application_id`): "RPH1"."""


async def open_for_writing(path: Path) -> aiosqlite.Connection:
    """Open the database for its one writer, made or migrated where needed.

    Raises StartupError when it can't be opened, or was written by a newer version.
    """
    try:
        _create_private(path)
        connection = await aiosqlite.connect(path, isolation_level=None, timeout=BUSY_SECONDS)
    except (OSError, sqlite3.Error) as error:
        raise StartupError(f"the audit log {path} can't be opened: {error}") from error
    try:
        # First: the log of a newer version is left as it is.
        version = await _known_version(connection, path)
        # FULL: a commit is on the disk when it returns, even if the power fails then.
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = FULL")
        await connection.execute("PRAGMA foreign_keys = ON")
        await _migrate(connection, version)
    except BaseException as error:
        await connection.close()
        if isinstance(error, sqlite3.Error):
            raise StartupError(f"the audit log {path} can't be used: {error}") from error
        raise
    return connection


async def open_for_reading(path: Path) -> aiosqlite.Connection:
    """Open the database for queries; nothing can be written through this connection."""
    connection = await aiosqlite.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    try:
        await connection.execute("PRAGMA query_only = ON")
        # Its files are opened when it reads first, and as long as they are, who else closes is not the last.
        await last_sequence_of(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


async def last_sequence_of(connection: aiosqlite.Connection) -> int:
    """Return the sequence of the newest event, 0 in an empty log."""
    return await _number(connection, "SELECT coalesce(max(sequence), 0) FROM events")


async def set_checkpoints(connection: aiosqlite.Connection, *, enabled: bool) -> None:
    """Say whether commits move what is in the write-ahead log into the database from time to time.

    On a full disk that takes what room there is, and does not get far enough to give any back.
    """
    await connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES if enabled else 0}")


async def write_nothing(connection: aiosqlite.Connection) -> None:
    """Write a page in the transaction under way, as it was."""
    await connection.execute(f"PRAGMA user_version = {await _number(connection, 'PRAGMA user_version')}")


def _create_private(path: Path) -> None:
    """Make the file readable by nobody else: what commands print may be confidential."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


async def _known_version(connection: aiosqlite.Connection, path: Path) -> int:
    version = await _number(connection, "PRAGMA user_version")
    tables = await _number(connection, "SELECT count(*) FROM sqlite_schema")
    if tables and await _number(connection, "PRAGMA application_id") != APPLICATION_ID:
        raise StartupError(f"{path} is another program's database: set [audit] path to another file")
    if version > len(MIGRATIONS):
        raise StartupError(
            f"the audit log {path} has schema {version}, this version of released knows up to "
            f"{len(MIGRATIONS)}: start the version that wrote it, or a newer one",
        )
    return version


async def _number(connection: aiosqlite.Connection, sql: str) -> int:
    async with connection.execute(sql) as cursor:
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def _migrate(connection: aiosqlite.Connection, version: int) -> None:
    for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
        # One transaction each, so that a crash leaves the schema before or after it.
        await connection.executescript(
            f"BEGIN IMMEDIATE;\n{migration.read_text()}\nPRAGMA application_id = {APPLICATION_ID};\n"
            f"PRAGMA user_version = {number};\nCOMMIT;",
        )
