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


def _settle(outcome: "Future[T]", work: Callable[[], T]) -> None:
    try:
        result = work()
    except BaseException as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(result)
