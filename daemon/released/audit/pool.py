"""Connections for queries, which stop when nobody waits for them any more.

aiosqlite runs a statement in a thread to its end, whether or not somebody still awaits it.
"""

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import aiosqlite

from released.audit.database import open_for_reading
from released.errors import ResourceExhausted
from released.model.durations import in_words

INSTRUCTIONS = 100_000
"""SQLite asks so often (some milliseconds) whether to go on."""


class Pool:
    """Some connections, each of which answers one query at a time."""

    def __init__(self, connections: Sequence["_Connection"], limit: timedelta) -> None:
        self._connections = tuple(connections)
        self._limit = limit
        self._free: asyncio.Queue[_Connection] = asyncio.Queue()
        for connection in connections:
            self._free.put_nowait(connection)

    @classmethod
    async def open(cls, path: Path, size: int, limit: timedelta = timedelta.max) -> Self:
        """Open `size` connections to the log at `path`, for queries that take no longer than `limit`."""
        async with AsyncExitStack() as stack:
            connections = []
            for _ in range(size):
                connections.append(await _Connection.open(path))
                stack.push_async_callback(connections[-1].close)
            stack.pop_all()
        return cls(connections, limit)

    async def close(self) -> None:
        """End all queries and close the connections. May be called twice."""
        for connection in self._connections:
            await connection.close()

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[sqlite3.Row]:
        """Run a query. Raises sqlite3.Error, and ResourceExhausted for one that takes too long.

        If this is cancelled, so is the query; its connection is free when it has ended.
        """
        connection = await self._free.get()
        query = connection.begin(sql, parameters)
        query.add_done_callback(lambda done: self._give_back(connection, done))
        try:
            async with asyncio.timeout(self._limit.total_seconds()):
                return await asyncio.shield(query)
        except TimeoutError:
            message = f"this took more than {in_words(self._limit)}: ask for less, for one target, say"
            raise ResourceExhausted("QUERY_TOO_LONG", message) from None
        finally:
            # Of a query that has ended, the connection may be somebody else's by now.
            if not query.done():
                connection.stop()

    def _give_back(self, connection: "_Connection", query: asyncio.Task[list[sqlite3.Row]]) -> None:
        if not query.cancelled():
            query.exception()  # nobody may be there any more to be told
        self._free.put_nowait(connection)


class _Connection:
    """A connection whose query can be stopped, at any moment."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._stopped = False

    @classmethod
    async def open(cls, path: Path) -> Self:
        """Open the log at `path` for reading."""
        connection = cls(await open_for_reading(path))
        # Unlike interrupt(), it also stops a statement that its thread has not begun with.
        await connection._connection.set_progress_handler(lambda: connection._stopped, INSTRUCTIONS)
        return connection

    def begin(self, sql: str, parameters: Sequence[Any]) -> asyncio.Task[list[sqlite3.Row]]:
        """Begin with a query; the one before has ended."""
        self._stopped = False
        return asyncio.create_task(self._fetch(sql, parameters))

    def stop(self) -> None:
        """Let the query fail that is under way, if there is one."""
        self._stopped = True

    async def close(self) -> None:
        """End the query that is under way, then close."""
        self.stop()
        await self._connection.close()

    async def _fetch(self, sql: str, parameters: Sequence[Any]) -> list[sqlite3.Row]:
        return list(await self._connection.execute_fetchall(sql, parameters))
