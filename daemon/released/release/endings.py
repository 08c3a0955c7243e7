"""How a container ended that did not say so itself."""

import asyncio
from datetime import timedelta
from signal import SIGKILL, SIGTERM
from typing import NamedTuple

from released.engine.engine import Engine
from released.engine.errors import EngineUnreachable
from released.model.states import Cause

SETTLING_TIME = timedelta(seconds=10)
"""What the engine gets to notice that a container has ended whose streams have."""


REMOVED = "the container was removed by somebody else"


class Ending(NamedTuple):
    """Why a container's streams ended, as the engine says on inspection."""

    cause: Cause
    message: str
    exit_code: int | None = None

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended it, and not for memory: somebody's, or the engine's that is going down."""
        is_signal = self.exit_code in (128 + SIGKILL, 128 + SIGTERM)
        return self.cause is Cause.CONTAINER_FAILED and is_signal


LEAVING_SECONDS = 20.0
"""More than the engine gives its containers to end when it goes down; 15 by default, dockerd(8)."""


async def leaves(engine: Engine) -> bool:
    """Whether an engine goes away soon: then it has stopped the containers itself."""
    try:
        async with asyncio.timeout(LEAVING_SECONDS):
            await engine.await_departure()
    except TimeoutError:
        return False
    return True


async def how_it_ended(engine: Engine, container_id: str) -> Ending:
    """Ask the engine about a container whose streams have ended.

    Raises EngineUnreachable, also for a container that runs: then only the connection was lost.
    """
    state = await engine.inspect_ended(container_id, SETTLING_TIME)
    if state is None:
        return Ending(Cause.CONTAINER_FAILED, REMOVED)
    if state.running:
        raise EngineUnreachable("the connection to the container was lost")
    if state.out_of_memory:
        return Ending(Cause.OUT_OF_MEMORY, "the container ran out of memory", state.exit_code)
    error = f" ({state.error})" if state.error else ""
    message = f"the container ended with exit code {state.exit_code}{error}"
    return Ending(Cause.CONTAINER_FAILED, message, state.exit_code)
