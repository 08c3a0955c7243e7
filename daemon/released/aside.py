"""Work that may hang for good, on a network file system say, in threads that nobody waits for in the end."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T]) -> T:
    """Do work in a thread of its own, and return what it returns, or raise what it raises.

    Unlike asyncio.to_thread, work that hangs takes no other work's thread, and the process can end
    meanwhile. Whoever is cancelled leaves the thread behind, which goes on. How many there are at
    once is the caller's to limit.
    """
    outcome: Future[T] = Future()
    outcome.set_running_or_notify_cancel()
    threading.Thread(target=_settle, args=(outcome, work), name="aside", daemon=True).start()
    return await asyncio.wrap_future(outcome)


class FewAside:
    """Does such work for callers who can make much of it: so much at once, and for so long each."""

    def __init__(self, most: int, seconds: float) -> None:
        self._free = asyncio.Semaphore(most)
        self._seconds = seconds

    async def do(self, work: Callable[[], T]) -> T:
        """Do work aside, when its turn has come. Raises TimeoutError if it has no result in time.

        Work that hangs keeps its place until it ends, however long nobody waits for it any more.
        """
        async with asyncio.timeout(self._seconds):
            await self._free.acquire()
            doing = asyncio.create_task(aside(work), name="aside")
            doing.add_done_callback(self._done)
            return await asyncio.shield(doing)

    def _done(self, doing: "asyncio.Task[T]") -> None:
        self._free.release()
        if not doing.cancelled():
            doing.exception()  # it has been told to whoever still waited


def _settle(outcome: "Future[T]", work: Callable[[], T]) -> None:
    try:
        result = work()
    except BaseException as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(result)
