"""Tasks that belong to no caller, each named in the log after the release that it is for."""

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from typing import Any, TypeVar

from released.logs import current_mask, current_release
from released.model.release import Target

T = TypeVar("T")


class Tasks:
    """Those that have not ended."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(
        self,
        work: Coroutine[Any, Any, T],
        target: Target,
        release_id: str = "",
        masked: Callable[[str], str] = str,
    ) -> asyncio.Task[T]:
        """Run a coroutine as a task; what it logs is `masked`."""
        context = copy_context()
        context.run(current_mask.set, masked)
        context.run(current_release.set, f"{target} releases/{release_id}" if release_id else str(target))
        task = asyncio.create_task(work, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def cancel(self) -> None:
        """Cancel all of them, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
