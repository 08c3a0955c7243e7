"""Whether the audit log can be written: told to who wants to know, and found out again while it can't."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from released.audit.log import AuditHealth, AuditLog
from released.errors import ApplicationError

INTERVAL = 2.0
"""Seconds between two attempts to write while the log can't be written."""

Listener = Callable[[AuditHealth], Awaitable[None]]
"""Told at the start, and whenever the log stops or starts being writable."""


class AuditMonitor:
    """Watches the log's health, from `start` on. While the log is writable, it costs nothing."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._listeners: list[Listener] = []
        self._told: bool | None = None
        self._task: asyncio.Task[None] | None = None

    def listen(self, listener: Listener) -> None:
        """Tell somebody when the log stops or starts being writable."""
        self._listeners.append(listener)

    async def start(self) -> None:
        """Tell how it is, and go on watching."""
        await self._tell()
        self._task = asyncio.create_task(self._run(), name="audit-monitor")

    async def close(self) -> None:
        """Stop watching. May be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            await self._until_changed()
            self._audit.health_changed.clear()
            await self._tell()

    async def _until_changed(self) -> None:
        """Wait for news. While the log can't be written, that it can is found by trying."""
        changed = self._audit.health_changed
        while not changed.is_set():
            try:
                await asyncio.wait_for(changed.wait(), None if self._audit.health.writable else INTERVAL)
            except TimeoutError:
                await self._try()

    async def _try(self) -> None:
        with suppress(ApplicationError):  # `health` says why
            await self._audit.probe()

    async def _tell(self) -> None:
        health = self._audit.health
        if health.writable is not self._told:
            self._told = health.writable
            for listener in self._listeners:
                await listener(health)
