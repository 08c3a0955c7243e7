"""Containers of ours that belong to no release under way: they are removed after a grace.

There are few ways to get one: the engine created it and answered with an error, the release was
given up because of a defect, or a container that had ended could not be removed at the time.
Those of other daemons on the same engine are never touched.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

from released.engine.engine import Engine, OwnContainer
from released.engine.errors import EngineError
from released.monitor import EngineHealth
from released.scheduler import Scheduler

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Orphan:
    """A container without a release under way. `message`: why it could not be removed, if that was tried."""

    container: OwnContainer
    first_seen_time: datetime
    removable_from: float
    """On the monotonic clock, in seconds."""
    message: str = ""


class Orphans:
    """Looks for orphans from time to time, on its own from `start` on."""

    def __init__(
        self,
        engine: Engine,
        scheduler: Scheduler,
        instance_id: str,
        grace: timedelta,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._instance_id = instance_id
        self._grace = grace.total_seconds()
        self._clock = clock
        self._orphans: dict[str, Orphan] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look. Every release that has not ended must be under way by then."""
        self._task = asyncio.create_task(self._run(), name="orphans")

    async def engine_changed(self, health: EngineHealth) -> None:
        """Look at once when the engine is back."""
        if health.reachable:
            self._wake.set()

    def leave_alone(self, grace: timedelta) -> None:
        """Set for how long those are left alone that are seen for the first time from now on."""
        self._grace = grace.total_seconds()
        self._wake.set()

    async def close(self) -> None:
        """Stop looking. May be called twice."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def stuck(self) -> Sequence[Orphan]:
        """Return those that could not be removed."""
        return [orphan for orphan in self._orphans.values() if orphan.message]

    async def sweep(self) -> None:
        """Look once: remember new orphans, and remove those that have been seen for the grace."""
        try:
            found = await self._engine.containers_of_daemon(self._instance_id)
        except EngineError as error:
            # The monitor tells, once, of an engine that is away.
            logger.debug("orphans can't be looked for: %s", error)
            return
        self._remember([each for each in found if not self._scheduler.has(each.release_id)])
        due = [orphan for orphan in self._orphans.values() if orphan.removable_from <= self._clock()]
        # Side by side: a removal that hangs takes the engine's deadline.
        await asyncio.gather(*map(self._remove, due))

    async def _run(self) -> None:
        while True:
            try:
                await self.sweep()
            except Exception:
                logger.exception("unexpected error while looking for orphans")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._grace / 2):
                    await self._wake.wait()
            self._wake.clear()

    def _remember(self, found: Sequence[OwnContainer]) -> None:
        """Keep those that are still there, with what is known of them, and add the new ones."""
        self._orphans = {
            container.container_id: self._orphans.get(container.container_id)
            or Orphan(container, datetime.now(UTC), self._clock() + self._grace)
            for container in found
        }

    async def _remove(self, orphan: Orphan) -> None:
        container_id, name, release_id = orphan.container
        try:
            await self._engine.remove_container(container_id)
        except EngineError as error:
            if orphan.message != str(error):
                logger.warning("the orphan %s of releases/%s is stuck: %s", name, release_id, error)
            orphan.message = str(error)
        else:
            logger.warning("removed the orphan %s, left behind by releases/%s", name, release_id)
            del self._orphans[container_id]
