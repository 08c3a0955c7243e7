"""Waiting for an engine that has gone away."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from time import monotonic

from released.engine.errors import EngineUnreachable
from released.model.durations import in_words
from released.model.states import Cause
from released.release.verdict import Concluded, failed

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.2
"""Seconds before the engine is asked again, on average; it doubles each time."""

LONGEST_PAUSE = 5.0

STEADY_SECONDS = 60.0
"""How long the engine has to stay for the pauses to be short again."""


class Reconnection:
    """Waits with back-off and jitter, and not for ever."""

    def __init__(self, is_back: Callable[[], Awaitable[bool]], patience: timedelta) -> None:
        self._is_back = is_back
        self._patience = patience
        self._lost_at: float | None = None
        self._back_at = float("-inf")
        self._pause = FIRST_PAUSE
        self.happened = False
        """Whether the engine has been away: it may have ended containers itself."""

    async def wait(self, error: EngineUnreachable, running: int | None) -> None:
        """Return when the engine answers again. Raises Concluded when patience is at its end.

        It counts from the first loss since the release was last seen to get on.
        """
        if self._lost_at is None:
            self._lost_at = monotonic()
        if monotonic() - self._back_at > STEADY_SECONDS:
            self._pause = FIRST_PAUSE
        logger.warning("waiting for the engine: %s", error)
        left = self._lost_at + self._patience.total_seconds() - monotonic()
        try:
            async with asyncio.timeout(max(0.0, left)):
                await self._wait()
        except TimeoutError:
            message = f"{error}; the release could not go on within {in_words(self._patience)}"
            raise Concluded(failed(Cause.ENGINE_LOST, message, running)) from error
        self._back_at = monotonic()
        self.happened = True

    def settled(self) -> None:
        """Take note that the release gets on: its patience is whole again."""
        self._lost_at = None

    async def _wait(self) -> None:
        while True:
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            if await self._is_back():
                return
