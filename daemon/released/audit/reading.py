"""Asking the audit log, and telling why it can't answer. Errors of SQLite end here."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from released.audit.faults import Fault, is_damage, senseless, translate_read
from released.audit.pool import Pool


class Reading:
    """Connections to the log at `path`.

    Queries that a caller may make expensive have their own: no other waits.
    """

    def __init__(self, path: Path, lookups: Pool, lists: Pool, on_damage: Callable[[Fault], None]) -> None:
        self.path = path
        self._lookups = lookups
        self._lists = lists
        self._on_damage = on_damage

    async def close(self) -> None:
        """Close the connections. May be called twice."""
        await self._lookups.close()
        await self._lists.close()

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[sqlite3.Row]:
        """Run a query that takes little. Raises Unavailable."""
        return await self._fetch(self._lookups, sql, parameters)

    async def fetch_list(self, sql: str, parameters: Sequence[Any]) -> list[sqlite3.Row]:
        """Run a query that may take its time. Raises Unavailable, and ResourceExhausted if it is too long."""
        return await self._fetch(self._lists, sql, parameters)

    @contextmanager
    def understanding(self) -> Iterator[None]:
        """Read rows that may have been edited, or in which a bit has flipped: SQLite does not notice that."""
        try:
            yield
        except (ValueError, TypeError, OverflowError) as error:
            raise senseless(error, self.path).error() from error

    async def _fetch(self, pool: Pool, sql: str, parameters: Sequence[Any]) -> list[sqlite3.Row]:
        try:
            return await pool.fetch(sql, parameters)
        except sqlite3.Error as error:
            fault = translate_read(error, self.path)
            if is_damage(error):
                self._on_damage(fault)
            raise fault.error() from error
