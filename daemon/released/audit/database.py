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


async def open_for_writing(path: Path) -> aiosqlite.Connection:
    """Open the database for its one writer, made or migrated where needed.

    Raises StartupError when it can't be opened, or was written by a newer version.
    """
    try:
        _create_private(path)
        connection = await aiosqlite.connect(path, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise StartupError(f"the audit log {path} can't be opened: {error}") from error
    try:
        # FULL: a commit is on the disk when it returns, even if the power fails then.
        await connection.execute("PRAGMA journal_mode = WAL")
        await connection.execute("PRAGMA synchronous = FULL")
        await connection.execute("PRAGMA foreign_keys = ON")
        await _migrate(connection, path)
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
    await connection.execute("PRAGMA query_only = ON")
    return connection


def _create_private(path: Path) -> None:
    """Make the file readable by nobody else: what commands print may be confidential."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


async def _migrate(connection: aiosqlite.Connection, path: Path) -> None:
    async with connection.execute("PRAGMA user_version") as cursor:
        row = await cursor.fetchone()
    version = row[0] if row else 0
    if version > len(MIGRATIONS):
        raise StartupError(
            f"the audit log {path} has schema {version}, this version of released knows up to "
            f"{len(MIGRATIONS)}: start the version that wrote it, or a newer one",
        )
    for number, migration in enumerate(MIGRATIONS[version:], start=version + 1):
        # One transaction each, so that a crash leaves the schema before or after it.
        await connection.executescript(
            f"BEGIN IMMEDIATE;\n{migration.read_text()}\nPRAGMA user_version = {number};\nCOMMIT;",
        )
