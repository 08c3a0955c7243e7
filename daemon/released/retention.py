"""Retention: prunes the audit log from time to time, and only while nobody waits for a release."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from released.audit.log import AuditLog
from released.config import Config, Configuration
from released.errors import ApplicationError
from released.releases import Releases

logger = logging.getLogger(__name__)

FIRST = timedelta(minutes=10)
"""From the start on: a host that has just been booted has other things to do, and its clock may be wrong."""

INTERVAL = timedelta(hours=1)


class Retention:
    """Prunes every hour, and when the configuration was read again; from `start` on."""

    def __init__(self, releases: Releases, audit: AuditLog, configuration: Configuration) -> None:
        self._releases = releases
        self._audit = audit
        self._configuration = configuration
        self._due = asyncio.Event()
        self._at_rest = asyncio.Event()
        """Set while no release is under way, waits, or is being accepted."""
        self._pruning: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        configuration.listen(self._configured)
        releases.listen(self._changed)

    def start(self) -> None:
        """Begin. Every release that has not ended must be known by then."""
        self._changed()
        self._task = asyncio.create_task(self._run(), name="retention")

    async def close(self) -> None:
        """Stop, also in the middle of it. May be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _configured(self, config: Config) -> None:
        self._due.set()

    def _changed(self) -> None:
        if self._releases.is_idle and not self._releases.counts.queued:
            self._at_rest.set()
        else:
            self._at_rest.clear()
            if self._pruning:
                _stop(self._pruning)

    async def _run(self) -> None:
        pause = FIRST
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause.total_seconds()):
                    await self._due.wait()
            self._due.clear()
            while not await self._prune():
                logger.info("pruning the audit log gives way to a release")
            pause = INTERVAL

    async def _prune(self) -> bool:
        """Prune once nothing else is to be done; say whether it got to its end."""
        await self._at_rest.wait()
        audit = self._configuration.current.audit
        self._pruning = asyncio.create_task(self._audit.prune(audit, datetime.now(UTC)), name="pruning")
        try:
            await asyncio.wait({self._pruning})
        finally:
            _stop(self._pruning)
            await asyncio.wait({self._pruning})
        if self._pruning.cancelled():
            return False
        match self._pruning.exception():
            case ApplicationError() as error:
                logger.warning("the audit log could not be pruned, and is tried again later: %s", error)
            case Exception() as error:
                logger.error("unexpected error while pruning the audit log", exc_info=error)
        return True


def _stop(pruning: asyncio.Task[None]) -> None:
    """Cancel it, once: what it does then is not to be cancelled."""
    if not pruning.cancelling():
        pruning.cancel()
