"""Waiting for something, unless the release is stopped first or time is up."""

import asyncio
from datetime import timedelta

import pytest

from released.release.stopping import Stopped, StopSwitch
from released.release.verdict import Stop

NEVER = timedelta(hours=1)
AT_ONCE = timedelta(0)


class Work:
    """Work that ends when the test says so, and takes its time when it is cancelled."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.result: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.cancelled = asyncio.Event()
        self.ended = False

    async def run(self) -> str:
        self.started.set()
        try:
            return await self.result
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            await self.may_end.wait()
            self.ended = True


async def test_result_is_returned() -> None:
    """Nothing stops it."""
    switch, work = StopSwitch(), Work()
    work.result.set_result("done")
    assert await switch.guard(work.run(), NEVER) == "done"
    assert switch.stopped is None


async def test_error_is_raised() -> None:
    """As it is."""
    switch, work = StopSwitch(), Work()
    work.result.set_exception(LookupError("lost"))
    with pytest.raises(LookupError, match="lost"):
        await switch.guard(work.run())


@pytest.mark.parametrize("stop", Stop)
async def test_stop_cancels_the_work_and_waits_for_its_end(stop: Stop) -> None:
    """When Stopped is raised, nothing of the work goes on."""
    switch, work = StopSwitch(), Work()
    guarding = asyncio.create_task(switch.guard(work.run()))
    await work.started.wait()
    work.may_end.clear()
    assert switch.stop(stop)
    await work.cancelled.wait()
    assert not guarding.done()
    work.may_end.set()
    with pytest.raises(Stopped) as stopped:
        await guarding
    assert (stopped.value.stop, switch.stopped) == (stop, stop)
    assert work.ended


async def test_timeout_cancels_the_work_and_waits_for_its_end() -> None:
    """When TimeoutError is raised, nothing of the work goes on."""
    switch, work = StopSwitch(), Work()
    work.may_end.clear()
    guarding = asyncio.create_task(switch.guard(work.run(), AT_ONCE))
    await work.cancelled.wait()
    assert not guarding.done()
    work.may_end.set()
    with pytest.raises(TimeoutError):
        await guarding
    assert work.ended
    assert switch.stopped is None


@pytest.mark.parametrize("stop_first", [True, False])
async def test_result_wins_over_a_stop_that_comes_with_it(stop_first: bool) -> None:
    """What was seen to happen counts."""
    switch, work = StopSwitch(), Work()
    guarding = asyncio.create_task(switch.guard(work.run()))
    await work.started.wait()
    if stop_first:
        switch.stop(Stop.CANCELLED)
    work.result.set_result("done")
    if not stop_first:
        switch.stop(Stop.CANCELLED)
    assert await guarding == "done"
    assert switch.stopped is Stop.CANCELLED


async def test_result_wins_over_a_timeout_that_comes_with_it() -> None:
    """The same for time that is up just then."""
    switch = StopSwitch()

    async def immediate() -> str:
        return "done"

    assert await switch.guard(immediate(), AT_ONCE) == "done"


async def test_result_despite_the_cancellation_counts() -> None:
    """The work had its result in its hands when it was cancelled."""
    switch = StopSwitch()
    started = asyncio.Event()

    async def stubborn() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "done all the same"
        raise AssertionError

    guarding = asyncio.create_task(switch.guard(stubborn()))
    await started.wait()
    switch.stop(Stop.CANCELLED)
    assert await guarding == "done all the same"


async def test_switch_that_was_thrown_before_stops_the_next_work_too() -> None:
    """Once and for good."""
    switch, work = StopSwitch(), Work()
    switch.stop(Stop.RELEASE_TIMED_OUT)
    with pytest.raises(Stopped) as stopped:
        await switch.guard(work.run(), NEVER)
    assert stopped.value.stop is Stop.RELEASE_TIMED_OUT


async def test_first_stop_counts() -> None:
    """A release that timed out is not cancelled any more."""
    switch = StopSwitch()
    assert switch.stop(Stop.RELEASE_TIMED_OUT)
    assert not switch.stop(Stop.CANCELLED)
    assert switch.stopped is Stop.RELEASE_TIMED_OUT


async def test_closed_switch_takes_no_more_stops() -> None:
    """The work has ended: whoever asks now is told so."""
    switch = StopSwitch()
    switch.close()
    assert not switch.stop(Stop.CANCELLED)
    assert switch.stopped is None


async def test_closing_keeps_what_came_before() -> None:
    """Why the work ended is still known."""
    switch = StopSwitch()
    switch.stop(Stop.CANCELLED)
    switch.close()
    assert switch.stopped is Stop.CANCELLED


async def test_cancelled_guard_cancels_its_work() -> None:
    """When the daemon stops, nothing of a release is left running on its own."""
    switch, work = StopSwitch(), Work()
    guarding = asyncio.create_task(switch.guard(work.run()))
    await work.started.wait()
    work.may_end.clear()
    guarding.cancel()
    await work.cancelled.wait()
    assert not guarding.done()
    work.may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await guarding
    assert work.ended
