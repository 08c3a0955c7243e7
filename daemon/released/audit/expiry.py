"""What of the audit log is not to be kept any more: always its oldest part, up to one event.

A release is kept as a whole until it has ended and all limits let it go. So nothing is
touched behind the event that accepted one which has not ended, or which has not for long.
"""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from released.audit.pool import Pool
from released.audit.settings import EXPIRING, NEWEST, restated
from released.audit.times import as_microseconds
from released.config import Keep
from released.model.events import CommandsChanged, EventsPruned, OutputPruned

ROW_BYTES = 400
"""What an event takes besides its body and its output, in all tables and indices, or less.

If it is less, too little is removed, and then the rest; never too much.
"""

SPARE = 0.01
"""How much more than necessary is removed where the log is too large: else there is more every time."""

_LAST_EVENT = "coalesce((SELECT max(sequence) FROM events), 0)"
"""In the statement that also says which releases there are: another one could see one accepted in between."""

_OLDEST = "(ORDER BY sequence ROWS UNBOUNDED PRECEDING)"
"""All rows up to one. As rows, they come as they are read: what is behind the last one that counts is not."""


class ExpiringSettings(NamedTuple):
    """What applications' settings are, as far as no event says so any more that is kept."""

    restated: list[CommandsChanged]
    unknown: list[str]
    """Of which nobody can say it, and why."""


class Expiry:
    """Finds what has expired. It reads what it would remove, and hardly more."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def output(self, keep: Keep, now: datetime) -> OutputPruned | None:
        """The output that is not to be kept any more, None if there is none."""
        by_age = await self._first_kept_release(keep, now) - 1 if keep.age else 0
        by_size = await self._beyond_size(keep.bytes) if keep.bytes else 0
        through = min(max(by_age, by_size), await self._last_prunable())
        last, count, size = await self._fetch(
            "SELECT max(sequence), count(*), sum(output_bytes) FROM outputs JOIN events USING (sequence) "
            "WHERE sequence <= ?",
            through,
        )
        return OutputPruned(through_sequence=last, output_count=count, output_bytes=size) if count else None

    async def events(self, keep: Keep, now: datetime) -> EventsPruned | None:
        """The events that are not to be kept any more, None if there are none."""
        by_age = await self._last_old_event(keep, now) if keep.age else 0
        by_size = await self._beyond_pages(keep.bytes) if keep.bytes else 0
        through = min(max(by_age, by_size), await self._last_prunable())
        count, others, releases, digest = await self._fetch(
            "SELECT (SELECT count(*) FROM events WHERE sequence <= ?1), "  # noqa: S608 - no input
            "EXISTS (SELECT 1 FROM events WHERE sequence <= ?1 AND kind <> 'events_pruned' "
            f"AND sequence NOT IN (SELECT sequence FROM ({NEWEST}))), "
            "(SELECT count(*) FROM releases WHERE accept_sequence <= ?1), "
            "(SELECT hex(digest) FROM events WHERE sequence = ?1)",
            through,
        )
        # To remove nothing but an event of this kind, or what has to be said once more, there would have
        # to be new ones.
        if not others:
            return None
        return EventsPruned(
            through_sequence=through,
            digest=digest.lower(),
            event_count=count,
            release_count=releases,
        )

    async def settings(self, through: int) -> ExpiringSettings:
        """What applications' settings are, as far as no event behind this one says so.

        By the events, which the chain vouches for, also where the table says nothing.
        """
        found = ExpiringSettings([], [])
        for row in await self._pool.fetch(EXPIRING, (through,)):
            try:
                found.restated.append(restated(row))
            except (TypeError, ValueError) as error:
                found.unknown.append(
                    f"{row['named'] or 'some application'} (event {row['sequence']}: {error})"
                )
        return found

    async def _last_prunable(self) -> int:
        """The last event before every release that has not ended."""
        (last,) = await self._fetch(
            "SELECT coalesce((SELECT min(accept_sequence) - 1 FROM releases WHERE end_time IS NULL), "  # noqa: S608
            f"{_LAST_EVENT})"
        )
        return int(last)

    async def _first_kept_release(self, keep: Keep, now: datetime) -> int:
        """The accept event of the first release that ended within the age to keep, or has not ended."""
        (first,) = await self._fetch(
            "SELECT coalesce((SELECT min(accept_sequence) FROM releases "  # noqa: S608
            f"WHERE end_time IS NULL OR end_time >= ?), {_LAST_EVENT} + 1)",
            _cutoff(keep, now),
        )
        return int(first)

    async def _last_old_event(self, keep: Keep, now: datetime) -> int:
        """The last event such that no one up to it, and no release accepted there, is of the age to keep."""
        (young,) = await self._fetch(
            "SELECT (SELECT sequence FROM events WHERE event_time >= ? ORDER BY sequence LIMIT 1)",
            _cutoff(keep, now),
        )
        first_kept = await self._first_kept_release(keep, now)
        return (first_kept if young is None else min(young, first_kept)) - 1

    async def _beyond_size(self, limit: int) -> int:
        """The last output to remove so that what is left takes `limit` bytes at most; 0 for none."""
        if await self._used_bytes() <= limit:
            return 0  # all of the log takes no more
        (size,) = await self._fetch("SELECT coalesce(sum(length(data)), 0) FROM outputs")
        if size <= limit:
            return 0
        (last,) = await self._fetch(
            "SELECT sequence FROM (SELECT sequence, sum(length(data)) OVER oldest AS size FROM outputs "  # noqa: S608
            f"WINDOW oldest AS {_OLDEST}) WHERE size >= ? LIMIT 1",
            size - limit,
        )
        return int(last)

    async def _beyond_pages(self, limit: int) -> int:
        """The last event to remove so that pages for `limit` bytes are in use, about; 0 for none."""
        excess = await self._used_bytes() - limit
        if excess <= 0:
            return 0
        (last,) = await self._fetch(
            "SELECT (SELECT sequence FROM (SELECT sequence, "  # noqa: S608 - no input
            "sum(? + length(body) + coalesce(length(data), 0)) OVER oldest AS size "
            "FROM events LEFT JOIN outputs USING (sequence) "
            f"WINDOW oldest AS {_OLDEST}) WHERE size >= ? LIMIT 1)",
            ROW_BYTES,
            excess + limit * SPARE,
        )
        if last is not None:
            return int(last)
        (last,) = await self._fetch(f"SELECT {_LAST_EVENT}")
        return int(last)

    async def _used_bytes(self) -> int:
        (size,) = await self._fetch(
            "SELECT (page_count - freelist_count) * page_size "
            "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
        )
        return int(size)

    async def _fetch(self, sql: str, *parameters: object) -> tuple[Any, ...]:
        """The one row of the answer."""
        (row,) = await self._pool.fetch(sql, parameters)
        return tuple(row)


def _cutoff(keep: Keep, now: datetime) -> int:
    return as_microseconds(now - (keep.age or timedelta()))
