"""Work in threads that nobody waits for in the end."""

import asyncio
import subprocess
import sys
import threading
from contextlib import suppress
from functools import partial

import pytest

from released.aside import FewAside, aside
from support.daemon import START_SECONDS

MANY = 100


async def test_result_is_what_the_work_returns() -> None:
    """From another thread."""
    assert await aside(threading.get_ident) != threading.get_ident()


async def test_error_is_what_the_work_raises() -> None:
    """As if it had been called."""
    with pytest.raises(ValueError, match="invalid literal"):
        await aside(lambda: int("nothing"))


async def test_work_that_hangs_takes_nobody_else_s_thread() -> None:
    """However much of it there is; neither that of other such work, nor asyncio's own."""
    going_on = threading.Event()
    hanging = [asyncio.create_task(aside(going_on.wait)) for _ in range(MANY)]
    try:
        assert await aside(lambda: "answer") == "answer"
        assert await asyncio.to_thread(lambda: "answer") == "answer"
        assert not any(task.done() for task in hanging)
    finally:
        going_on.set()
    assert await asyncio.gather(*hanging) == [True] * MANY


async def test_cancellation_leaves_the_work_alone() -> None:
    """It goes on to its end, which nobody is told."""
    begun, going_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        going_on.wait()
        ended.set()

    task = asyncio.create_task(aside(work))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not ended.is_set()
    going_on.set()
    assert await asyncio.to_thread(ended.wait, START_SECONDS)


@pytest.mark.parametrize("ending", ["asyncio.sleep(0.1)", "asyncio.wait_for(task, 0.1)"])
def test_process_ends_while_work_hangs(ending: str) -> None:
    """Whether somebody waits for it still, or has given up; and says nothing about it."""
    script = f"""
import asyncio, contextlib, threading
from released.aside import FewAside, aside
async def main():
    task = asyncio.create_task(aside(threading.Event().wait))
    with contextlib.suppress(TimeoutError):
        await {ending}
asyncio.run(main())
"""
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


async def test_work_of_which_there_may_be_much_is_limited_and_given_up() -> None:
    """What hangs keeps its place until it ends; others are told that they waited in vain."""
    going_on, few = threading.Event(), FewAside(2, 0.05)
    try:
        hanging = await asyncio.gather(*(few.do(going_on.wait) for _ in range(3)), return_exceptions=True)
        assert [type(outcome) for outcome in hanging] == [TimeoutError] * 3
        with pytest.raises(TimeoutError):
            await few.do(lambda: "answer")
        assert sum(thread.name == "aside" for thread in threading.enumerate()) == 2
    finally:
        going_on.set()
    async with asyncio.timeout(START_SECONDS):
        while True:
            with suppress(TimeoutError):
                assert await few.do(lambda: "answer") == "answer"
                break


async def test_limited_work_gives_what_it_returns_or_raises() -> None:
    """One after the other, if there is one place."""
    few = FewAside(1, 60)
    assert await asyncio.gather(*(few.do(partial(str, n)) for n in range(20))) == [str(n) for n in range(20)]
    with pytest.raises(ValueError, match="invalid literal"):
        await few.do(lambda: int("nothing"))
