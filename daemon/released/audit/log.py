"""The audit log as the rest of the daemon uses it: append, query, follow."""

import asyncio
import logging
import os
import sqlite3
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple, Self

from released.audit.database import head_of, last_time_of, open_for_writing, set_checkpoints
from released.audit.expiry import Expiry
from released.audit.faults import damaged, senseless, translate_read, unusable
from released.audit.pool import Pool
from released.audit.pruning import Pruner
from released.audit.reader import EVENTS_AT_ONCE, AuditReader
from released.audit.reading import Reading
from released.audit.reserve import Reserve
from released.audit.verification.findings import Report
from released.audit.verification.process import VerificationFailed, verify
from released.audit.writer import AuditWriter, Commit, Listener
from released.config import RESERVE_BYTES, AuditConfig
from released.errors import ResourceExhausted, StartupError
from released.model.events import (
    OWN,
    AnyBody,
    Body,
    CommandOutput,
    CommandsChanged,
    Event,
    NewEvent,
    OwnBody,
    StateChanged,
)
from released.model.receipt import Receipt

logger = logging.getLogger(__name__)

LOOKUPS = 3
LISTS = 2
SCANS = 1
"""Connections for reading: for one release each, for lists, which can take their time, and for retention."""

LONGEST_LIST = timedelta(seconds=10)


class Usage(NamedTuple):
    """What the log takes on its disk and what is free there, in bytes."""

    size_bytes: int
    free_bytes: int


class AuditHealth(NamedTuple):
    """Whether new work can be recorded, and if not, why; and whether results still can."""

    writable: bool
    message: str = ""
    takes_results: bool = True


class AuditLog:
    """The append-only log of everything that happened to releases."""

    def __init__(
        self,
        path: Path,
        reserve: Reserve,
        writer: AuditWriter,
        reader: AuditReader,
        scans: Pool,
        followers: "Followers",
        last_event_time: datetime | None,
    ) -> None:
        self.path = path
        self.last_event_time = last_event_time
        """When the newest event was recorded that was there when the log was opened."""
        self.query = reader
        self.settings_lock = asyncio.Lock()
        """Held by whoever says what settings are, from reading them to the event that says so."""
        self._reserve = reserve
        self._writer = writer
        self._scans = scans
        self._followers = followers

    @classmethod
    async def open(cls, path: Path, reserve_bytes: int = RESERVE_BYTES) -> Self:
        """Open the log at `path`, made if there is none, with a reserve of room on its disk.

        Without room for the reserve it opens all the same, for results. Raises StartupError.
        """
        # SQLite follows links: its other files lie beside what they lead to, and take the room there.
        path = Path(os.path.realpath(path))
        reserve = Reserve(path, reserve_bytes)
        try:
            return await cls._open(path, reserve)
        except StartupError:
            if not reserve.exists or reserve.shortage() is None:
                raise
        # What else the disk may have, there is no room left on it: what has ended shall be recorded.
        reserve.give_up()
        return await cls._open(path, reserve)

    @classmethod
    async def _open(cls, path: Path, reserve: Reserve) -> Self:
        async with AsyncExitStack() as stack:
            # An aiosqlite connection that is not closed keeps the interpreter from ending.
            connection = await open_for_writing(path)
            stack.push_async_callback(connection.close)
            try:
                head = await head_of(connection)
                last_event_time = await last_time_of(connection)
                lookups = await Pool.open(path, LOOKUPS)
                stack.push_async_callback(lookups.close)
                lists = await Pool.open(path, LISTS, LONGEST_LIST)
                stack.push_async_callback(lists.close)
                scans = await Pool.open(path, SCANS)
                stack.push_async_callback(scans.close)
            except sqlite3.Error as error:
                raise unusable(error, path) from error
            stack.pop_all()
        # Last: the database comes first where there is not room for both.
        reserve.restore()
        await set_checkpoints(connection, enabled=reserve.whole)
        followers = Followers()
        writer = AuditWriter(path, connection, head, reserve, followers.wake)
        reader = AuditReader(Reading(path, lookups, lists, writer.condemn))
        return cls(path, reserve, writer, reader, scans, followers, last_event_time)

    async def close(self) -> None:
        """Write what has been appended, then close everything. May be called twice."""
        try:
            await self._writer.finish()
        finally:
            # Whoever closes last puts everything into the one file, and a reader can't do that.
            # A file that is damaged stays as it is, and what room is left is for results.
            if self._writer.damaged or not self._reserve.whole:
                await self._writer.close()
            await self.query.close()
            await self._scans.close()
            await self._writer.close()

    @property
    def head(self) -> Receipt:
        """The newest durable event; in an empty log its sequence is 0."""
        return self._writer.head

    @property
    def health(self) -> AuditHealth:
        """Whether new work can be recorded, as far as known."""
        fault = self._writer.fault
        takes_results = fault is None or fault.kind is ResourceExhausted
        return AuditHealth(fault is None, fault.message if fault else "", takes_results)

    @property
    def damaged(self) -> bool:
        """Whether the file is known to be damaged: what is not found in it may have been there."""
        return self._writer.damaged

    @property
    def health_changed(self) -> asyncio.Event:
        """Set when `health` has changed; who waits for it clears it."""
        return self._writer.fault_changed

    @property
    def reserve_bytes(self) -> int:
        """How much room is kept for results."""
        return self._reserve.held_bytes

    async def probe(self) -> None:
        """Find out whether new work can be recorded. Raises ResourceExhausted or Unavailable if not."""
        await self._writer.probe()

    async def check_room(self) -> None:
        """Refuse new work that could not be recorded. What was found unwritable is tried again.

        Raises ResourceExhausted when the disk is full, Unavailable when the log can't be written.
        """
        if self._writer.fault or self._reserve.shortage():
            await self.probe()

    async def verify(self, receipts: Sequence[Receipt] = ()) -> Report:
        """Read all of the log and say what is wrong with it, by these receipts as well.

        Damage that is found ends all writing. Raises Unavailable if it can't be done.
        """
        try:
            report = await verify(self.path, receipts)
        except VerificationFailed as error:
            raise translate_read(error, self.path).error() from error
        if report.damage:
            self._writer.condemn(damaged(report.damage, self.path))
        return report

    async def prune(self, keep: AuditConfig, now: datetime) -> None:
        """Remove what is not to be kept at this time; see Pruner. It may be cancelled at any moment.

        Raises ResourceExhausted and Unavailable when the log can't be written, or read.
        """
        try:
            expiry = Expiry(self._scans)
            await Pruner(self.path, self._writer, self._reserve, expiry, self.settings_lock).prune(keep, now)
        except (TypeError, ValueError) as error:
            raise senseless(error, self.path).error() from error
        except sqlite3.Error as error:
            raise translate_read(error, self.path).error() from error

    @property
    def alive(self) -> bool:
        """Whether what is appended will be written; see AuditWriter.alive."""
        return self._writer.alive

    def append(
        self, release_id: str, *bodies: Body, with_others: Sequence[NewEvent] = ()
    ) -> asyncio.Future[Receipt]:
        """Append events of one release, and before them those of others; see AuditWriter.append."""
        return self._writer.append(*with_others, *(NewEvent(release_id, body) for body in bodies))

    def append_own(self, *bodies: OwnBody) -> asyncio.Future[Receipt]:
        """Append events of the daemon itself. Nobody has to wait: what can't be stored is logged."""
        appended = self._writer.append(*(NewEvent(OWN, body) for body in bodies))
        appended.add_done_callback(_log_error)
        return appended

    def append_settings(self, changed: CommandsChanged) -> asyncio.Future[Receipt]:
        """Append what an application's settings are, holding `settings_lock`; see AuditWriter.append."""
        return self._writer.append(NewEvent(OWN, changed))

    def append_output(
        self,
        release_id: str,
        output: Sequence[tuple[CommandOutput, bytes]],
    ) -> asyncio.Future[Receipt]:
        """Append what a release's container wrote; see AuditWriter.append."""
        return self._writer.append(*(NewEvent(release_id, body, data) for body, data in output))

    def listen(self, listener: Listener) -> None:
        """Tell somebody of each commit from now on, before those who appended it."""
        self._writer.listen(listener)

    def usage(self) -> Usage:
        """What the log takes on its disk, its write-ahead log included."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        disk = os.statvfs(self.path.parent)
        return Usage(
            sum(file.stat().st_size for file in files if file.exists()),
            disk.f_bavail * disk.f_frsize,
        )

    async def follow(self, release_id: str, after: int, idle: timedelta) -> AsyncGenerator[list[Event], None]:
        """Yield the events of a release after sequence `after`, up to its terminal state.

        That state is to come after `after`, and what was recorded behind it is left out. Each follower
        reads at its own pace, so that a slow one holds up nobody. An empty list says that nothing
        happened for `idle`.
        """
        with self._followers.follow(release_id) as woken:
            while True:
                woken.clear()
                while events := await self.query.events_after(release_id, after):
                    after = events[-1].sequence
                    end = next((at for at, event in enumerate(events, 1) if _is_terminal(event.body)), None)
                    yield events[:end]
                    if end:
                        return
                    if len(events) < EVENTS_AT_ONCE:
                        break  # these were all; what came since has woken us
                try:
                    # Not wait_for, which loses a cancellation that comes together with the waking.
                    async with asyncio.timeout(idle.total_seconds()):
                        await woken.wait()
                except TimeoutError:
                    yield []


class Followers:
    """Who is to be woken when a release has new events."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def follow(self, release_id: str) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever the release has new events."""
        woken = asyncio.Event()
        self._waiting[release_id].add(woken)
        try:
            yield woken
        finally:
            self._waiting[release_id].discard(woken)
            if not self._waiting[release_id]:
                del self._waiting[release_id]

    def wake(self, commit: Commit) -> None:
        """Tell those who follow a release that has new events."""
        release_ids = {event.release_id for event in commit.events}
        for release_id in release_ids & self._waiting.keys():
            for woken in self._waiting[release_id]:
                woken.set()


def _log_error(appended: asyncio.Future[Receipt]) -> None:
    if not appended.cancelled() and (error := appended.exception()):
        logger.error("an event of the daemon itself could not be recorded: %s", error)


def _is_terminal(body: AnyBody) -> bool:
    return isinstance(body, StateChanged) and body.state.is_terminal
