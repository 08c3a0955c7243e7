"""Retention: prunes the audit log from time to time, and only while nobody waits for a release."""

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

import msgspec

from released.audit.log import AuditLog
from released.clock_doubt import ClockDoubt, now
from released.config import AuditConfig, Config, Configuration
from released.errors import ApplicationError
from released.releases import Releases

logger = logging.getLogger(__name__)

FIRST = timedelta(minutes=10)
"""From the start on: a host that has just been booted has other things to do, and its clock may be wrong."""

INTERVAL = timedelta(hours=1)


class Retention:
    """Prunes every hour, and when the configuration was read again; from `start` on.

    While the host's clock is doubtful, nothing goes by its age: it could be everything at once.
    """

    def __init__(
        self, releases: Releases, audit: AuditLog, configuration: Configuration, doubt: ClockDoubt
    ) -> None:
        self._releases = releases
        self._audit = audit
        self._configuration = configuration
        self._doubt = doubt
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
        audit = self._believed(self._configuration.current.audit)
        self._pruning = asyncio.create_task(self._audit.prune(audit, now()), name="pruning")
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

    def _believed(self, audit: AuditConfig) -> AuditConfig:
        """What is to be kept by all that can be believed."""
        if audit.keep_output.age is None and audit.keep_events.age is None:
            return audit
        if reason := self._doubt.look():
            logger.warning(
                "nothing of the audit log is pruned by its age for an hour, since the host's clock may be "
                "wrong: %s; if it is wrong, set it right, or remove `days` from [audit] and reload",
                reason,
            )
        if not self._doubt.lasts:
            return audit
        return msgspec.structs.replace(
            audit,
            keep_output=msgspec.structs.replace(audit.keep_output, days=None),
            keep_events=msgspec.structs.replace(audit.keep_events, days=None),
        )


def _stop(pruning: asyncio.Task[None]) -> None:
    """Cancel it, once: what it does then is not to be cancelled."""
    if not pruning.cancelling():
        pruning.cancel()
