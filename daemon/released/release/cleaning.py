"""Removing what a release leaves in the engine."""

import asyncio
import logging

from released.engine.engine import Engine
from released.engine.errors import EngineError, EngineRefused
from released.model.events import ContainerRemoved
from released.troubles import Troubles

logger = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
"""Seconds after the first attempt that failed; the pause doubles with each."""

LONGEST_PAUSE = 30.0

MOST_REFUSALS = 6
"""How often the engine may refuse to remove a container that does not run before it is left to it."""


async def remove_containers(
    engine: Engine, release_id: str, troubles: Troubles, known: str = ""
) -> list[ContainerRemoved]:
    """Remove the container `known`, or else all that the engine has of a release.

    Those are found by label, so that one whose creation was never confirmed is among them.
    Returns what was removed. It does not give up while something of the release may run:
    until then, no other release of its target may.
    """
    pause, refusals = FIRST_PAUSE, 0
    while True:
        try:
            return await _remove(engine, release_id, known)
        except EngineError as error:
            logger.warning("the container could not be removed yet: %s", error)
            troubles.report(release_id, f"its container could not be removed yet: {error}")
            refusals += isinstance(error, EngineRefused)
        if refusals >= MOST_REFUSALS and await _has_ended(engine, release_id, known):
            logger.error("a container is left behind that has ended and can't be removed: remove it by hand")
            return []
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


async def _remove(engine: Engine, release_id: str, known: str) -> list[ContainerRemoved]:
    found = await _containers(engine, release_id, known)
    for container_id in found:
        await engine.remove_container(container_id)
    return [ContainerRemoved(container_id=container_id) for container_id in found]


async def _containers(engine: Engine, release_id: str, known: str) -> list[str]:
    return [known] if known else await engine.containers_of(release_id)


async def _has_ended(engine: Engine, release_id: str, known: str) -> bool:
    """Whether the engine says that nothing of a release runs."""
    try:
        found = await _containers(engine, release_id, known)
        return not any([await engine.is_running(container_id) for container_id in found])
    except EngineError:
        return False
