"""Waiting for something, unless the release is stopped first."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from released.release.verdict import Stop

T = TypeVar("T")


class Stopped(Exception):
    """The release was stopped before what was waited for came."""

    def __init__(self, stop: Stop) -> None:
        super().__init__(stop)
        self.stop = stop


class StopSwitch:
    """Stops the work on a release, once and for good."""

    def __init__(self) -> None:
        self._stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()

    def stop(self, stop: Stop) -> bool:
        """Stop the work. False: it has been stopped already, or has ended."""
        if self._stop.done():
            return False
        self._stop.set_result(stop)
        return True

    def close(self) -> None:
        """Take no more stops: the work has ended."""
        self._stop.cancel()

    @property
    def stopped(self) -> Stop | None:
        """Why the work was stopped, if it was."""
        return self._stop.result() if self._stop.done() and not self._stop.cancelled() else None

    def check(self) -> None:
        """Raise Stopped if the release has been stopped."""
        if self.stopped:
            raise Stopped(self.stopped)

    async def guard(self, work: Coroutine[Any, Any, T], timeout: timedelta | None = None) -> T:
        """Return what `work` returns, or raise what it raises.

        Raises Stopped if the release is stopped first, and TimeoutError if time is up.
        Then `work` is cancelled, and has ended when this raises. A stop that comes
        together with the result loses: what was seen to happen counts.
        """
        task = asyncio.ensure_future(work)
        seconds = timeout.total_seconds() if timeout is not None else None
        try:
            done, _ = await asyncio.wait(
                (task, self._stop), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task in done or not task.cancelled():
            return task.result()
        self.check()
        raise TimeoutError
