"""Whether the audit log can be written: told to who wants to know, and found out again while it can't."""

import asyncio
from contextlib import suppress

from released.audience import Audience
from released.audit.log import AuditHealth, AuditLog
from released.errors import ApplicationError

INTERVAL = 2.0
"""Seconds between two attempts to write while the log can't be written."""


class AuditMonitor:
    """Watches the log's health, from `start` on. While the log is writable, it costs nothing."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self.audience = Audience[AuditHealth]()
        """Told at the start, and when the log stops or starts taking work or results; who raises, again."""
        self._told: tuple[bool, bool] | None = None
        self._task: asyncio.Task[None] | None = None

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
        """Wait for news. Whether the log can be written again is found by trying."""
        changed = self._audit.health_changed
        while not changed.is_set():
            at_rest = self._audit.health.writable and not self.audience.waits
            try:
                await asyncio.wait_for(changed.wait(), None if at_rest else INTERVAL)
            except TimeoutError:
                await self._try()

    async def _try(self) -> None:
        await self.audience.tell_rest(self._audit.health)
        if not self._audit.health.writable:
            with suppress(ApplicationError):  # `health` says why
                await self._audit.probe()

    async def _tell(self) -> None:
        health = self._audit.health
        takes = (health.writable, health.takes_results)
        if takes != self._told:
            self._told = takes
            await self.audience.tell_change(health)
