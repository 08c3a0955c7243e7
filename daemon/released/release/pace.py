"""Whether a command runs much longer than it usually does: found out aside, nothing ever waits for it."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from released.audit.log import AuditLog
from released.audit.statistics import MEDIAN_RUNS, median
from released.model.events import CommandSlow
from released.model.receipt import Receipt
from released.model.release import Target
from released.release.standing import Running

logger = logging.getLogger(__name__)

SLOW_FACTOR = 4
"""A command is slow that takes so many times its median."""

LEAST_RUNS = 5
"""Of fewer successes a median says nothing."""

NOT_BEFORE = timedelta(seconds=1)
"""A command of milliseconds is not slow before, and what a shorter one usually takes is never asked."""


class SlowCommand(NamedTuple):
    """A command that runs, since when, and the median of its runs."""

    label: str
    since: datetime
    median: timedelta


class Pace:
    """How the command of one release that is under way compares with earlier ones of its label and target."""

    def __init__(
        self, audit: AuditLog, release_id: str, target: Target, not_before: timedelta = NOT_BEFORE
    ) -> None:
        self._audit = audit
        self._release_id = release_id
        self._target = target
        self._not_before = not_before
        self.slow: SlowCommand | None = None
        """The command under way, once it is slow."""

    @contextmanager
    def watching(self, index: int, label: str, running: Running | None) -> Iterator[None]:
        """Watch the command that runs in the block, and was under way before if `running` says so."""
        elapsed = running.since.elapsed() if running else timedelta()
        since = running.since.time if running else datetime.now(UTC)
        if running and running.slow:
            self.slow = SlowCommand(label, since, running.slow.median)
            watch = None
        else:
            watch = asyncio.create_task(self._watch(index, label, since, elapsed), name="pace")
        try:
            yield
        finally:
            self.slow = None
            if watch:
                watch.cancel()

    async def _watch(self, index: int, label: str, since: datetime, elapsed: timedelta) -> None:
        try:
            await self._tell_when_slow(index, label, since, elapsed)
        except Exception as error:  # a release goes on, whatever becomes of this
            logger.warning("whether command %d is slow is not known: %s", index, error)

    async def _tell_when_slow(self, index: int, label: str, since: datetime, elapsed: timedelta) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time() - elapsed.total_seconds()
        await asyncio.sleep(began + self._not_before.total_seconds() - loop.time())
        runs = await self._audit.query.command_times.successes(self._target, label, MEDIAN_RUNS)
        if len(runs) < LEAST_RUNS:
            return
        usual = median(runs)
        await asyncio.sleep(began + SLOW_FACTOR * usual.total_seconds() - loop.time())
        self.slow = SlowCommand(label, since, usual)
        told = CommandSlow(command_index=index, median=usual, run_count=len(runs))
        # Not by the journal: that this can't be stored is no reason to fail the release.
        self._audit.append(self._release_id, told).add_done_callback(_ignore_error)
        logger.warning("command %d (%s) has taken %d times its median", index, label, SLOW_FACTOR)


def _ignore_error(appended: asyncio.Future[Receipt]) -> None:
    appended.exception()  # the log's writer has told of it
