"""A call whose caller goes, at each point where the call, or a task that came of it, waits for something."""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from itertools import count
from typing import Any

Call = Coroutine[Any, Any, object]


async def cancellations(call: Callable[[], Call]) -> AsyncIterator[str]:
    """Make the call again and again, cancelled at its first await, at its second one, until it gets through.

    Each await is met twice: when it begins to wait, and when what it waited for has come but
    has not been taken note of. Yields after each, saying where it was.
    """
    for late in (False, True):
        for number in count():
            departure = _Departure(number, late)
            await departure.watch(call())
            if departure.awaits <= number:
                break
            yield f"at await {number}, {'after' if late else 'before'} its end"


class _Departure:
    """Cancels a call at its n-th await, counted over the call and all tasks that come of it."""

    _task: asyncio.Task[object]

    def __init__(self, number: int, late: bool) -> None:
        self.awaits = 0
        """How many were met while the call was under way."""
        self._number = number
        self._late = late
        self._has_happened = False

    async def watch(self, call: Call) -> None:
        """Make the call, which must end as cancelled if it was."""
        context = copy_context()
        context.run(_departure.set, self)
        with _stepwise_tasks():
            self._task = context.run(asyncio.create_task, call)
            await asyncio.wait({self._task})
        assert self._task.cancelled() or not self._has_happened, "the call went on after it was cancelled"
        if not self._has_happened:
            self._task.result()

    def meet(self, awaited: asyncio.Future[Any] | None) -> None:
        """One of the tasks is about to wait for a future; None is the next turn of the event loop."""
        if self._task.done():
            return
        if self.awaits == self._number:
            if not self._late:
                self._cancel()
            elif awaited is None:
                asyncio.get_running_loop().call_soon(self._cancel)
            else:
                # Before the task itself is told, which comes after us.
                awaited.add_done_callback(lambda _: self._cancel())
        self.awaits += 1

    def _cancel(self) -> None:
        self._has_happened = self._task.cancel()


_departure: ContextVar[_Departure | None] = ContextVar("_departure", default=None)
"""What the tasks that come of a call inherit from it."""


@contextmanager
def _stepwise_tasks() -> Iterator[None]:
    """Until the end of the block, show each await of a task that comes of a call to its departure."""

    def make_task(loop: asyncio.AbstractEventLoop, call: Any, **options: Any) -> asyncio.Task[Any]:
        departure = _departure.get()
        return asyncio.Task(_stepwise(call, departure) if departure else call, loop=loop, **options)

    loop = asyncio.get_running_loop()
    loop.set_task_factory(make_task)
    try:
        yield
    finally:
        loop.set_task_factory(None)


async def _stepwise(call: Call, departure: _Departure) -> object:
    return await _steps(call, departure)


@types.coroutine
def _steps(call: Call, departure: _Departure) -> Generator[Any, Any, object]:
    """Go through a coroutine's awaits as a task does."""
    step = partial(call.send, None)
    while True:
        try:
            awaited = step()
        except StopIteration as end:
            return end.value
        departure.meet(awaited)
        try:
            yield awaited
        except BaseException as error:
            step = partial(call.throw, error)
        else:
            step = partial(call.send, None)
