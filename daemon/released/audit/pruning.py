"""Retention: removing what is not to be kept any more, and giving its room back to the disk.

First an event says up to where: that is the checkpoint, behind which the triggers of the
database let nothing be deleted. What applications' settings are, as far as events say it that go,
is said once more in the same transaction. Then rows go, in slices. Whoever is stopped or killed in
between loses nothing: what is left in front of the checkpoint goes the next time.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import aiosqlite

from released.audit.database import BUSY_SECONDS, WritingConnection, transaction
from released.audit.expiry import Expiry
from released.audit.reserve import Reserve, free_bytes
from released.audit.writer import AuditWriter, Chore
from released.config import AuditConfig
from released.crash import CrashPoint, crash_point
from released.model.events import OWN, NewEvent, OwnBody

logger = logging.getLogger(__name__)

RELEASES_AT_ONCE = 50
OUTPUTS_AT_ONCE = 64
"""Of 64 KiB at most, so that a slice frees 4 MiB at most."""
EVENTS_AT_ONCE = 250
PAGES_AT_ONCE = 128
"""Half a MiB. Each slice takes some milliseconds, and that is what an append waits for at most."""

LARGEST_WAL_BYTES = 64 * 1024 * 1024
"""Beyond that, pruning waits for whoever reads, since it would make the write-ahead log longer and longer."""
WAIT = timedelta(seconds=1)

_SAID = (
    "(SELECT subject, through_sequence FROM checkpoints JOIN events USING (sequence) "
    "WHERE subject IN ('events', 'output') AND kind = subject || '_pruned' "
    "AND body ->> 'through_sequence' = through_sequence)"
)
"""Checkpoints, as far as an event says so: a row alone, which anybody may have written, lets nothing go.

The event about output may have been pruned itself, with all of the output that it is about.
"""

_EVENTS = f"(SELECT through_sequence FROM {_SAID} WHERE subject = 'events')"  # noqa: S608 - no input
_OUTPUT = f"(SELECT max(through_sequence) FROM {_SAID})"  # noqa: S608
_RELEASES = (
    f"(SELECT release_id FROM releases WHERE accept_sequence <= {_EVENTS} "  # noqa: S608 - no input
    f"ORDER BY accept_sequence LIMIT {RELEASES_AT_ONCE})"
)

SLICES = (
    (
        f"DELETE FROM command_runs WHERE release_id IN {_RELEASES}",  # noqa: S608
        f"DELETE FROM release_labels WHERE release_id IN {_RELEASES}",  # noqa: S608
        f"DELETE FROM releases WHERE release_id IN {_RELEASES}",  # noqa: S608
    ),
    (
        "DELETE FROM outputs WHERE sequence IN (SELECT sequence FROM outputs "  # noqa: S608
        f"WHERE sequence <= {_OUTPUT} ORDER BY sequence LIMIT {OUTPUTS_AT_ONCE})",
    ),
    (
        "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events "  # noqa: S608
        f"WHERE sequence <= {_EVENTS} ORDER BY sequence LIMIT {EVENTS_AT_ONCE})",
    ),
)
"""What a slice of each kind deletes. Rows go before those that they refer to."""


class Pruner:
    """Prunes the log through its one writer. It may be cancelled at any moment."""

    def __init__(
        self, path: Path, writer: AuditWriter, reserve: Reserve, expiry: Expiry, settings_lock: asyncio.Lock
    ) -> None:
        self._path = path
        self._writer = writer
        self._reserve = reserve
        self._expiry = expiry
        self._settings_lock = settings_lock

    async def prune(self, audit: AuditConfig, now: datetime) -> None:
        """Remove what is not to be kept at this time. Raises as AuditWriter.append."""
        # What is left of an earlier time, that was stopped.
        await self._remove()
        if output := await self._expiry.output(audit.keep_output, now):
            logger.info("pruning %d bytes of output from the audit log", output.output_bytes)
            await self._append(output)
            await self._remove()
        # How much room a release takes is not known before it is removed.
        while expired := await self._expiry.events(audit.keep_events, now):
            logger.info("pruning %d releases from the audit log", expired.release_count)
            # Nobody may change settings between a look at them and the event that says them once more.
            async with self._settings_lock:
                settings = await self._expiry.settings(expired.through_sequence)
                await self._append(*settings.restated, expired)
            for unknown in settings.unknown:
                logger.error(
                    "the audit log was changed or damaged: what the release commands of %s are can't be said "
                    "once more before the event goes; restore a backup, or give such releases commands of "
                    "their own",
                    unknown,
                )
            await self._remove()

    async def _append(self, *bodies: OwnBody) -> None:
        await self._writer.append(*(NewEvent(OWN, body) for body in bodies))
        crash_point(CrashPoint.PRUNING_RECORDED)

    async def _remove(self) -> None:
        """Delete what is in front of the checkpoints, and give back the room."""
        for statements in SLICES:
            while await self._do(partial(_delete, statements)):
                crash_point(CrashPoint.PRUNING_SLICE)
        while await self._do(_vacuum):
            crash_point(CrashPoint.PRUNING_VACUUMED)
        await self._shrink()

    async def _do(self, chore: Chore) -> bool:
        await self._wait_for_readers()
        done = await self._writer.request(chore)
        if not self._reserve.whole:
            # The disk is full: as soon as possible what this took shall be free for the next one.
            await self._shrink()
        return done

    async def _wait_for_readers(self) -> None:
        """Go on when the write-ahead log is not too long, or nobody who reads keeps it so."""
        told = False
        while self._wal_bytes > LARGEST_WAL_BYTES and await self._shrink():
            if not told:
                logger.warning(
                    "pruning the audit log waits for somebody who has been reading it for long (a "
                    "verification, a backup, a person): its write-ahead log has %d bytes until then",
                    self._wal_bytes,
                )
                told = True
            await asyncio.sleep(WAIT.total_seconds())

    @property
    def _wal_bytes(self) -> int:
        path = self._path.resolve()  # SQLite keeps it beside what a link leads to
        with suppress(FileNotFoundError):  # the log was closed
            return path.with_name(f"{path.name}-wal").stat().st_size
        return 0

    async def _shrink(self) -> bool:
        """Empty the write-ahead log; say whether somebody who reads keeps it from that."""
        # First on another connection, which no append waits for: it can be much.
        async with aiosqlite.connect(self._path, isolation_level=None) as connection:
            if await self._has_room(connection):
                await connection.execute_fetchall("PRAGMA wal_checkpoint(PASSIVE)")
        return await self._writer.request(self._empty)

    async def _has_room(self, connection: aiosqlite.Connection) -> bool:
        """Whether moving the write-ahead log into the file would get to its end."""
        growth = await _size(connection) - self._path.stat().st_size
        return growth <= free_bytes(self._path.parent)

    async def _empty(self, connection: aiosqlite.Connection) -> bool:
        """Move what is left of it into the file, which gets shorter by that; not while others read."""
        if not await self._has_room(connection):
            return False
        await connection.execute("PRAGMA busy_timeout = 0")
        try:
            ((busy, _, _),) = await connection.execute_fetchall("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            await connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")
        return bool(busy)


async def _delete(statements: Sequence[str], connection: WritingConnection) -> bool:
    return await connection.do(partial(_delete_at_once, statements))


def _delete_at_once(statements: Sequence[str], connection: sqlite3.Connection) -> bool:
    with transaction(connection):
        for sql in statements:
            deleted = connection.execute(sql).rowcount
    return deleted > 0


async def _vacuum(connection: aiosqlite.Connection) -> bool:
    """Give back some pages of the file's end, if there are so many that are not in use."""
    before = await _free_pages(connection)
    if not before:
        return False
    # As a script it runs to its end: it stops after each page, and `execute` does not go on with it.
    await connection.executescript(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
    return await _free_pages(connection) < before


async def _free_pages(connection: aiosqlite.Connection) -> int:
    ((count,),) = await connection.execute_fetchall("PRAGMA freelist_count")
    return int(count)


async def _size(connection: aiosqlite.Connection) -> int:
    """The size that the file has once everything is in it."""
    ((size,),) = await connection.execute_fetchall(
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
    )
    return int(size)
