"""Whether the engine answers, asked from time to time and whenever it matters."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

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
    """Checks the engine and tells `on_change` whenever it comes or goes."""

    def __init__(self, engine: Engine, on_change: Callable[[EngineHealth], Awaitable[None]]) -> None:
        self._engine = engine
        self._on_change = on_change
        self.health = EngineHealth(False, message="not checked yet")
        self._task = asyncio.create_task(self._run(), name="engine-monitor")

    async def check(self) -> EngineHealth:
        """Ask the engine now, and return what is found."""
        try:
            async with asyncio.timeout(DEADLINE):
                health = EngineHealth(True, version=await self._engine.version())
        except TimeoutError:
            health = EngineHealth(False, message=f"it did not answer within {DEADLINE:g} s")
        except EngineError as error:
            health = EngineHealth(False, message=str(error))
        if health.reachable != self.health.reachable:
            log = logger.info if health.reachable else logger.warning
            log("the engine at %s is %s", self._engine.url, health.version or health.message)
            await self._on_change(health)
        self.health = health
        return health

    async def close(self) -> None:
        """Stop checking. May be called twice."""
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            await self.check()
            await asyncio.sleep(INTERVAL)
