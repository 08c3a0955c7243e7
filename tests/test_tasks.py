"""Tasks of releases: they belong to nobody who calls, and end with the daemon."""

import asyncio

import pytest

from released.logs import current_mask, current_release
from released.model.release import Target
from released.tasks import Tasks

SHOP = Target("shop", "live")


async def test_a_task_is_named_in_the_log_and_its_maker_is_not() -> None:
    """With the release's id once there is one; what it logs is masked as it is said."""

    async def context() -> tuple[str, str]:
        return current_release.get(), current_mask.get()("secret")

    before = current_release.get()
    tasks = Tasks()
    assert await tasks.spawn(context(), SHOP) == ("shop/live", "secret")
    named = tasks.spawn(context(), SHOP, "1", lambda text: text.replace("secret", "***"))
    assert await named == ("shop/live releases/1", "***")
    assert current_release.get() == before


async def test_tasks_have_ended_when_they_are_cancelled() -> None:
    """With their clean-up; those that have ended before are none of them any more."""
    cleaned = []

    async def work(number: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append(number)

    async def nothing() -> None:
        pass

    tasks = Tasks()
    await tasks.spawn(nothing(), SHOP)
    working = [tasks.spawn(work(number), SHOP) for number in range(3)]
    await asyncio.sleep(0)
    await tasks.cancel()
    assert (sorted(cleaned), all(task.cancelled() for task in working)) == ([0, 1, 2], True)
    with pytest.raises(asyncio.CancelledError):
        await working[0]
    await tasks.cancel()
