"""Whether the engine answers, asked from time to time and whenever it matters."""

import asyncio
import logging
from typing import NamedTuple

from released.audience import Audience
from released.engine.engine import Engine
from released.engine.errors import EngineError

logger = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between two checks."""

DEADLINE = 3.0
"""Seconds after which an engine that does not answer counts as gone."""


class EngineHealth(NamedTuple):
    """What the last check found: the version of an engine that answers, or why it does not."""

    reachable: bool
    version: str = ""
    message: str = ""


class EngineMonitor:
    """Checks the engine, on its own from `start` on."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.audience = Audience[EngineHealth]()
        """Told at the first check, and when the engine comes or goes; who raises, again at the next check."""
        self._checking: asyncio.Task[EngineHealth] | None = None
        self._task: asyncio.Task[None] | None = None
        self.health: EngineHealth | None = None
        """What the last check found; None before the first."""

    async def start(self) -> None:
        """Check for the first time, and go on checking."""
        await self.check()
        self._task = asyncio.create_task(self._run(), name="engine-monitor")

    async def check(self) -> EngineHealth:
        """Ask the engine now, and return what is found. Calls at the same time share the answer."""
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check(), name="engine-check")
        return await asyncio.shield(self._checking)

    async def is_reachable(self) -> bool:
        """Check the engine, and say whether it answered."""
        return (await self.check()).reachable

    async def close(self) -> None:
        """Stop checking. May be called twice."""
        for task in filter(None, (self._task, self._checking)):
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL)
            await self.check()

    async def _check(self) -> EngineHealth:
        health = await self._ask()
        came_or_went = self.health is None or health.reachable != self.health.reachable
        self.health = health
        if came_or_went:
            log = logger.info if health.reachable else logger.warning
            log("the engine at %s is %s", self._engine.url, health.version or f"away: {health.message}")
            await self.audience.tell_change(health)
        else:
            await self.audience.tell_rest(health)
        return health

    async def _ask(self) -> EngineHealth:
        try:
            async with asyncio.timeout(DEADLINE):
                return EngineHealth(True, version=await self._engine.version())
        except TimeoutError:
            return EngineHealth(False, message=f"it did not answer within {DEADLINE:g}s")
        except EngineError as error:
            return EngineHealth(False, message=str(error))
        except Exception as error:
            logger.exception("the engine's answer makes no sense")
            return EngineHealth(False, message=f"its answer makes no sense: {type(error).__name__}")
