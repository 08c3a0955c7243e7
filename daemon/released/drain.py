"""The orderly end of the daemon: nothing new is accepted or started, what runs is finished, then it ends."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from released.audit.log import AuditLog
from released.model.caller import Caller
from released.model.events import DrainBegun
from released.releases import Counts, Releases

logger = logging.getLogger(__name__)

Listener = Callable[[], Awaitable[None]]
"""Told once, when the drain begins."""


class Drain:
    """Follows the releases to the last one that is under way. It belongs to nobody who calls."""

    def __init__(self, releases: Releases, audit: AuditLog) -> None:
        self._releases = releases
        self._audit = audit
        self._listeners: list[Listener] = []
        self._begun: asyncio.Task[None] | None = None
        self._change = asyncio.Event()
        """Set at the next change, and replaced then: each follower waits for the one that it knows."""
        self.finished = asyncio.Event()
        """Set when the daemon has nothing more to do, and is to end."""
        releases.listen(self._changed)

    @property
    def begun(self) -> bool:
        """Whether the daemon drains."""
        return self._releases.draining

    def listen(self, listener: Listener) -> None:
        """Tell somebody when the drain begins."""
        self._listeners.append(listener)

    async def begin(self, caller: Caller) -> None:
        """Begin to drain, and return when everybody has been told. Further calls change nothing."""
        if self._begun is None:
            running, queued = self._releases.counts
            logger.info(
                "draining for %s: %d under way, %d queued for the next start", caller, running, queued
            )
            self._releases.drain()
            self._audit.append_own(DrainBegun(caller=caller))
            # A task of its own: the caller may be gone at any await.
            self._begun = asyncio.create_task(self._tell(), name="drain")
        await asyncio.shield(self._begun)

    async def follow(self) -> AsyncIterator[Counts]:
        """Yield the counts now and after each change, until the drain is finished."""
        told: Counts | None = None
        while True:
            change, counts, finished = self._change, self._releases.counts, self.finished.is_set()
            if counts != told:
                yield counts
                told = counts
            if finished:
                return
            await change.wait()

    async def _tell(self) -> None:
        for listener in self._listeners:
            await listener()

    def _changed(self) -> None:
        if self.begun and self._releases.is_idle:
            self.finished.set()
        change, self._change = self._change, asyncio.Event()
        change.set()
