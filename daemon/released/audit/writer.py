"""The audit log's one writer: a task with a connection of its own.

Group commit comes by itself: whatever has queued up while a transaction was being
written is the next one.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import aiosqlite

from released.audit.projections import Row, Statement, project
from released.errors import ApplicationError, ResourceExhausted, Unavailable
from released.model.events import NewEvent, encode, kind_of

logger = logging.getLogger(__name__)

Listener = Callable[[set[str]], None]
"""Told, after each commit, which releases have new events."""


class _Entry(NamedTuple):
    """Events that one caller appends together, and who waits for them."""

    events: Sequence[NewEvent]
    time: int
    durable: asyncio.Future[int]


class AuditWriter:
    """Appends events. Nobody else writes to the database."""

    def __init__(self, connection: aiosqlite.Connection, last_sequence: int, on_commit: Listener) -> None:
        self._connection = connection
        self._last_sequence = last_sequence
        self._on_commit = on_commit
        self._entries: list[_Entry] = []
        self._arrived = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="audit-writer")

    @property
    def last_sequence(self) -> int:
        """The sequence of the newest durable event, 0 in an empty log."""
        return self._last_sequence

    def append(self, *events: NewEvent) -> asyncio.Future[int]:
        """Append events, all or none of them, after everything appended before.

        Returns a future of the last one's sequence, done when they are durable. It need
        not be awaited for them to be written. It raises ResourceExhausted when the disk
        is full and Unavailable when the database can't be written: nothing is stored then.
        """
        durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if self._closing:
            durable.set_exception(Unavailable("SHUTTING_DOWN", "the daemon is shutting down"))
        else:
            self._entries.append(_Entry(events, time.time_ns() // 1000, durable))
            self._arrived.set()
        return durable

    async def finish(self) -> None:
        """Refuse what comes from now on, and write what has been appended."""
        self._closing = True
        self._arrived.set()
        await asyncio.shield(self._task)

    async def close(self) -> None:
        """Finish, and close the connection. May be called twice."""
        await self.finish()
        await self._connection.close()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._entries:
                entries, self._entries = self._entries, []
                await self._write(entries)
            if self._closing:
                return

    async def _write(self, entries: Sequence[_Entry]) -> None:
        """Write one transaction; if an entry makes it fail, each by itself, so that it spoils no others."""
        try:
            last = await self._commit_when_free(entries)
        except Exception as error:  # whatever it is, the writer goes on
            if len(entries) > 1 and not _is_busy(error):
                for entry in entries:
                    await self._write([entry])
            else:
                self._refuse(entries, error)
            return
        self._last_sequence = last
        self._on_commit({event.release_id for entry in entries for event in entry.events})
        sequence = last - sum(len(entry.events) for entry in entries)
        for entry in entries:
            sequence += len(entry.events)
            if not entry.durable.done():
                entry.durable.set_result(sequence)

    async def _commit_when_free(self, entries: Sequence[_Entry]) -> int:
        """Commit; while somebody else holds the database's lock (a backup, a person), wait for it."""
        while True:
            try:
                return await self._commit(entries)
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or self._closing:
                    raise
                logger.warning("the audit log is locked by another process: waiting for it")

    async def _commit(self, entries: Sequence[_Entry]) -> int:
        rows: list[tuple[int, str, int, str, str]] = []
        outputs: list[tuple[int, bytes]] = []
        projections: list[Statement] = []
        sequence = self._last_sequence
        for entry in entries:
            for release_id, body, output in entry.events:
                sequence += 1
                rows.append((sequence, release_id, entry.time, kind_of(body), encode(body)))
                if output is not None:
                    outputs.append((sequence, output))
                row = Row(sequence, release_id, entry.time, len(output or b""))
                projections.extend(project(body, row))
        execute = self._connection.executemany
        await self._connection.execute("BEGIN IMMEDIATE")
        try:
            await execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
            if outputs:
                await execute("INSERT INTO outputs VALUES (?, ?)", outputs)
            for sql, parameters in _runs(projections):
                await execute(sql, parameters)
            await self._connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors, a full disk among them.
            if self._connection.in_transaction:
                await self._connection.execute("ROLLBACK")
            raise
        return sequence

    @staticmethod
    def _refuse(entries: Sequence[_Entry], error: Exception) -> None:
        logger.error("the audit log could not be written: %s", error)
        for entry in entries:
            if not entry.durable.done():
                entry.durable.set_exception(_translate(error))


def _runs(statements: Sequence[Statement]) -> Iterator[tuple[str, list[tuple[object, ...]]]]:
    """Join neighbours of the same SQL, so that each run is one call. The order is kept."""
    for sql, run in groupby(statements, key=lambda statement: statement.sql):
        yield sql, [statement.parameters for statement in run]


def _is_busy(error: Exception) -> bool:
    """Whether another process holds a lock; extended codes have more bits (sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _translate(error: Exception) -> ApplicationError:
    if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return ResourceExhausted("AUDIT_DISK_FULL", "the disk of the audit log is full: make room on it")
    return Unavailable("AUDIT_UNWRITABLE", f"the audit log can't be written: {error}")
