"""The audit log's one writer: a task with a connection of its own.

Group commit comes by itself: whatever has queued up while a transaction was being
written is the next one.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from released.audit.database import WritingConnection, set_checkpoints, transaction, write_nothing
from released.audit.faults import Fault, is_busy, is_damage, is_full, is_of_the_disk, translate_write
from released.audit.reserve import Reserve
from released.audit.rows import Rows
from released.errors import Unavailable
from released.model.events import NewEvent, encode, kind_of, tells_result
from released.model.receipt import Receipt

logger = logging.getLogger(__name__)


class Commit(NamedTuple):
    """What has become durable together, in order, and how long that took."""

    events: Sequence[NewEvent]
    seconds: float


Listener = Callable[[Commit], None]
"""Told of each commit."""


class _Entry(NamedTuple):
    """Events that one caller appends together, and who waits for them. None of them: a probe."""

    events: Sequence[NewEvent]
    time: int
    durable: asyncio.Future[Receipt]

    @property
    def tells_results(self) -> bool:
        return bool(self.events) and all(tells_result(event.body) for event in self.events)


Chore = Callable[[WritingConnection], Awaitable[bool]]
"""Something short to do with the database besides appending; says whether there was something to do."""


class _Request(NamedTuple):
    """A chore, and who waits for it."""

    chore: Chore
    done: asyncio.Future[bool]


class AuditWriter:
    """Appends events. Nobody else writes to the database, or to the reserve beside it."""

    def __init__(
        self,
        path: Path,
        connection: WritingConnection,
        head: Receipt,
        reserve: Reserve,
        on_commit: Listener,
    ) -> None:
        self._path = path
        self._connection = connection
        self._head = head
        self._reserve = reserve
        self._listeners = [on_commit]
        self._entries: list[_Entry] = []
        self._requests: list[_Request] = []
        self._arrived = asyncio.Event()
        self._closing = False
        self.fault: Fault | None = reserve.shortage()
        """What new work would be refused with, as far as known."""
        self.fault_changed = asyncio.Event()
        """Set when `fault` has come, gone, or become another."""
        self.damaged = False
        """Whether the database was found damaged: it is kept as it is, nothing is written any more."""
        self._task = asyncio.create_task(self._run(), name="audit-writer")

    @property
    def head(self) -> Receipt:
        """The newest durable event; in an empty log its sequence is 0."""
        return self._head

    @property
    def alive(self) -> bool:
        """Whether what is appended will be written. It is, until `finish`, unless there is a bug."""
        return not self._task.done()

    def listen(self, listener: Listener) -> None:
        """Tell somebody of each commit from now on, before those who appended it."""
        self._listeners.append(listener)

    def append(self, *events: NewEvent) -> asyncio.Future[Receipt]:
        """Append events, all or none of them, after everything appended before.

        Returns a future of the last one's receipt, done when they are durable. It need
        not be awaited for them to be written. It raises ResourceExhausted when the disk
        is full (for results, when the reserve is used up, too) and Unavailable when the
        database can't be written: nothing is stored then.
        """
        durable: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        if self._closing:
            durable.set_exception(Unavailable("SHUTTING_DOWN", "the daemon is shutting down"))
        else:
            self._entries.append(_Entry(events, time.time_ns() // 1000, durable))
            self._arrived.set()
        return durable

    async def probe(self) -> None:
        """Find out, by writing what changes nothing, whether new work can be recorded. Raises as `append`."""
        probe = self.append()
        # Not awaited itself: a cancelled await would cancel it.
        await asyncio.wait({probe})
        probe.result()

    def request(self, chore: Chore) -> asyncio.Future[bool]:
        """Have a chore done as soon as nothing is to be appended: an append waits for one at most.

        Raises as `append`. One that nobody awaits any more by then is not done.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self._closing:
            done.set_exception(Unavailable("SHUTTING_DOWN", "the daemon is shutting down"))
        else:
            self._requests.append(_Request(chore, done))
            self._arrived.set()
        return done

    def condemn(self, fault: Fault) -> None:
        """Write nothing any more: the database was found damaged."""
        self.damaged = True
        self._set_fault(fault)

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
            while self._entries or self._requests:
                if self._entries:
                    entries, self._entries = self._entries, []
                    await self._write(entries)
                else:
                    await self._do(self._requests.pop(0))
            if self._closing:
                return

    async def _do(self, request: _Request) -> None:
        chore, done = request
        fault = self.fault if self.damaged else None
        result = False
        try:
            if fault is None and not done.done():
                result = await chore(self._connection)
        except Exception as error:  # whatever it is, the writer goes on
            if is_full(error) and self._reserve.whole:
                # Chores make room, for which they need some.
                await self._give_up_reserve()
                self._requests.insert(0, request)
                return
            fault = translate_write(error, self._path)
            if is_damage(error):
                self.condemn(fault)
        if not done.done():
            done.set_exception(fault.error()) if fault else done.set_result(result)

    async def _write(self, entries: Sequence[_Entry]) -> None:
        """Write one transaction; if an entry makes it fail, each by itself, so that it spoils no others."""
        admitted = [entry for entry in entries if await self._admit(entry)]
        if not admitted:
            return
        began = time.perf_counter()
        try:
            receipts = await self._commit_when_free(admitted)
        except Exception as error:  # whatever it is, the writer goes on
            await self._after_failure(admitted, error)
        else:
            self._after_success(admitted, receipts, time.perf_counter() - began)

    async def _admit(self, entry: _Entry) -> bool:
        """Refuse what the room that is left is not for, and everything when the database is damaged."""
        try:
            fault = self.fault if self.damaged else await self._no_room_for(entry)
        except Exception as error:  # whatever it is, the writer goes on
            fault = translate_write(error, self._path)
        if fault:
            self._refuse([entry], fault)
        return fault is None

    async def _no_room_for(self, entry: _Entry) -> Fault | None:
        if entry.tells_results:
            return None
        if not self._reserve.whole:
            await asyncio.to_thread(self._reserve.restore)
            await set_checkpoints(self._connection, enabled=self._reserve.whole)
        is_probe = not entry.events
        return self._reserve.shortage() if is_probe or not self._reserve.whole else None

    def _after_success(self, entries: Sequence[_Entry], receipts: Sequence[Receipt], seconds: float) -> None:
        self._head = receipts[-1]
        if not self.damaged and (self.fault or not self._reserve.whole):
            self._set_fault(self._reserve.shortage())
        self._tell(Commit([event for entry in entries for event in entry.events], seconds))
        for entry, receipt in zip(entries, receipts, strict=True):
            if not entry.durable.done():
                entry.durable.set_result(receipt)

    def _tell(self, commit: Commit) -> None:
        for listener in self._listeners:
            try:
                listener(commit)
            except Exception:  # a defect of the listener's, which is no reason to write nothing more
                logger.exception("unexpected error in a listener of the audit log")

    async def _after_failure(self, entries: Sequence[_Entry], error: Exception) -> None:
        if len(entries) > 1 and not is_busy(error):
            for entry in entries:
                await self._write([entry])
        elif is_full(error) and self._reserve.whole and entries[0].tells_results:
            await self._give_up_reserve()
            await self._write(entries)
        else:
            fault = translate_write(error, self._path)
            self.damaged = self.damaged or is_damage(error)
            self._refuse(entries, fault, lasting=is_of_the_disk(error))

    async def _give_up_reserve(self) -> None:
        logger.warning("the disk of the audit log is full: giving up the reserve of it for results")
        await set_checkpoints(self._connection, enabled=False)
        self._reserve.give_up()

    async def _commit_when_free(self, entries: Sequence[_Entry]) -> list[Receipt]:
        """Commit; while somebody else holds the database's lock (a backup, a person), wait for it."""
        rows, receipts = Rows(self._head), []
        for entry in entries:
            for release_id, body, output in entry.events:
                rows.add(release_id, entry.time, kind_of(body), body, encode(body), output)
            receipts.append(rows.head)
        while True:
            try:
                await self._connection.do(partial(_commit, rows))
                return receipts
            except sqlite3.OperationalError as error:
                if not is_busy(error) or self._closing:
                    raise
                logger.warning("the audit log is locked by another process: waiting for it")

    def _refuse(self, entries: Sequence[_Entry], fault: Fault, *, lasting: bool = True) -> None:
        """Tell those who wait; `lasting`: others would be told the same."""
        if lasting:
            self._set_fault(fault)
        for entry in entries:
            if entry.events:
                logger.error("not recorded: %s", fault.message)
            if not entry.durable.done():
                entry.durable.set_exception(fault.error())

    def _set_fault(self, fault: Fault | None) -> None:
        if (fault and fault.reason) != (self.fault and self.fault.reason):
            self.fault_changed.set()
        self.fault = fault


def _commit(rows: Rows, connection: sqlite3.Connection) -> None:
    """Write one transaction, in the connection's thread; one without rows, a probe, changes nothing."""
    with transaction(connection):
        if rows.empty:
            write_nothing(connection)
        for sql, parameters in rows.statements():
            connection.executemany(sql, parameters)
