"""What a queue costs as it grows: accepting one more, asking for the status, handing the lane over."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import chain
from statistics import median
from time import perf_counter

from bench.agent import SLEEP, Agent, request, seconds_between
from bench.part import Measured, Setting, judged
from bench.rounds import SHORT_ROUNDS, Contender, Figures, NotMeasured, measure
from bench.rows import Row, growth, one_more
from releasephase.v1.release_pb2 import Release
from support.daemon import running_daemon

SIZES = (1, 10, 100, 1000)
SETTINGS = f"[releases]\nmax_concurrent = 1\nmax_queued = {2 * max(SIZES)}\n"
REPEATED = 5
"""Times in a round, of what is short."""


class Lane:
    """A release that is under way, and a number of others that wait behind it."""

    def __init__(self, agent: Agent, image: str, running: str) -> None:
        self._agent = agent
        self._request = request(image, SLEEP)
        self._running = running
        self._waiting = deque[str]()

    @classmethod
    @asynccontextmanager
    async def filled(cls, agent: Agent, image: str, size: int) -> AsyncIterator["Lane"]:
        """Fill a lane; it is drained at the end of the block."""
        lane = cls(agent, image, await agent.start(request(image, SLEEP)))
        try:
            await agent.until(lane._running, Release.STATE_RUNNING)
            for _ in range(size):
                await lane._queue()
            yield lane
        finally:
            await agent.drain()
            await agent.cancel([lane._running])

    async def accept(self) -> float:
        """Return how long it takes to accept one more, which is then cancelled."""
        begin = perf_counter()
        name = await self._agent.start(self._request)
        seconds = perf_counter() - begin
        await self._agent.cancel([name])
        return seconds

    async def status(self) -> float:
        """Return how long it takes to be told of all that wait."""
        begin = perf_counter()
        status = await self._agent.status()
        seconds = perf_counter() - begin
        if list(status.lanes[0].queued_releases) != list(self._waiting):
            raise NotMeasured("the status has other releases than those that wait")
        return seconds

    async def hand_over(self) -> float:
        """End what is under way; return how long after its end the next one begins, by the daemon's clock."""
        ended, self._running = self._running, self._waiting.popleft()
        await self._agent.cancel([ended])
        await self._agent.until(self._running, Release.STATE_RUNNING)
        await self._queue()
        end = await self._agent.until(ended, Release.STATE_CANCELLED)
        begin = await self._agent.until(self._running, Release.STATE_PREPARING)
        return seconds_between(end, begin)

    async def _queue(self) -> None:
        self._waiting.append(await self._agent.start(self._request))


_WORK: dict[str, tuple[Callable[[Lane], Awaitable[float]], int]] = {
    "accepting one more": (Lane.accept, REPEATED),
    "GetStatus": (Lane.status, REPEATED),
    "handing the lane over": (Lane.hand_over, 1),
}
"""What is done, and how many times in a round."""


def measure_part(setting: Setting) -> Measured:
    """Measure all sizes side by side, each with a daemon of its own."""
    return Measured(judged(_rows(), asyncio.run(_measure(setting))))


def _rows() -> list[Row]:
    accepting, status, handing = ({size: _named(work, size) for size in SIZES} for work in _WORK)
    return list(
        chain(
            one_more("growing queue: accepting one more", accepting),
            growth("growing queue: GetStatus", status),
            one_more("growing queue: from the end of a release to the next", handing),
        )
    )


def _named(work: str, size: int) -> str:
    return f"{work}, {size:,} queued"


async def _measure(setting: Setting) -> dict[str, Figures]:
    image, figures = setting.image(), dict[str, Figures]()
    async with AsyncExitStack() as stack:
        lanes = {size: await _lane(stack, setting, image, size) for size in SIZES}
        for name, (work, times) in _WORK.items():
            contenders: dict[str, Contender] = {
                _named(name, size): partial(_repeat, partial(work, lane), times)
                for size, lane in lanes.items()
            }
            figures |= await measure(contenders, SHORT_ROUNDS * setting.rounds)
    return figures


async def _lane(stack: AsyncExitStack, setting: Setting, image: str, size: int) -> Lane:
    daemon = stack.enter_context(running_daemon(setting.engine.url, SETTINGS))
    agent = await stack.enter_async_context(Agent.connected(daemon.socket))
    return await stack.enter_async_context(Lane.filled(agent, image, size))


async def _repeat(work: Callable[[], Awaitable[float]], times: int) -> float:
    return median([await work() for _ in range(times)])
