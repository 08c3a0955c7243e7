"""A line's way from the container's write to who watches: 1,000 lines, 100 in a second."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial

from bench.agent import Agent, request
from bench.bare_container import BareContainer
from bench.engine_calls import BareEngine
from bench.part import Measured, Setting, judged
from bench.peers.watched_logs import follow_logs, required_docker
from bench.rounds import Figures, NotMeasured, measure
from bench.rows import Beside, Beyond, Row
from bench.stamped_lines import LINES, PER_SECOND, WRITER, Arrivals, bash_image
from releasephase.v1.release_event_pb2 import CommandOutput
from support.daemon import running_daemon

_RELEASE = "WatchRelease"
_ATTACH = "attach, without a daemon"
_LOGS = "docker logs -f"
_MEDIAN, _P99 = "p50", "p99"
_SCENARIO = f"a line's way to a watcher, {LINES:,} lines at {PER_SECOND}/s: "

ROWS: tuple[Row, ...] = (
    Beyond(_SCENARIO + _MEDIAN, f"{_RELEASE}: {_MEDIAN}", f"{_ATTACH}: {_MEDIAN}", 0.005),
    Beyond(_SCENARIO + _P99, f"{_RELEASE}: {_P99}", f"{_ATTACH}: {_P99}", 0.025),
    Beside(_SCENARIO + _MEDIAN, f"{_RELEASE}: {_MEDIAN}", f"{_LOGS}: {_MEDIAN}"),
    Beside(_SCENARIO + _P99, f"{_RELEASE}: {_P99}", f"{_LOGS}: {_P99}"),
)

Follow = Callable[[Callable[[bytes], None]], Awaitable[None]]
"""Runs the writer once, and hands on what it wrote as it comes."""


def measure_part(setting: Setting) -> Measured:
    """Measure it."""
    figures = asyncio.run(_measure(setting))
    return Measured(judged(ROWS, figures))


async def _measure(setting: Setting) -> dict[str, Figures]:
    image = bash_image(setting.engine)
    async with AsyncExitStack() as stack:
        daemon = stack.enter_context(running_daemon(setting.engine.url))
        agent = await stack.enter_async_context(Agent.connected(daemon.socket))
        bare = await stack.enter_async_context(BareEngine(setting.engine.url, image))

        async def watch(take: Callable[[bytes], None]) -> None:
            async with agent.started(request(image, shlex.join(WRITER))) as name:
                async for event in agent.events(name):
                    if event.command_output.stream == CommandOutput.STREAM_STDOUT:
                        take(event.command_output.data)
                await agent.succeeded(name)

        async def attach(take: Callable[[bytes], None]) -> None:
            async with BareContainer.created(bare, image, *WRITER) as container:
                await container.follow(take)
                await _insist_on_success(container)

        async def logs(take: Callable[[bytes], None]) -> None:
            docker = await asyncio.to_thread(required_docker)
            async with BareContainer.created(bare, image, *WRITER) as container:
                await container.start()
                await follow_logs(docker, container.id, take)
                await _insist_on_success(container)

        return await _percentiles({_RELEASE: watch, _ATTACH: attach, _LOGS: logs}, setting.rounds)


async def _percentiles(contenders: dict[str, Follow], rounds: int) -> dict[str, Figures]:
    """Measure both percentiles of each, under names of their own."""
    slowest: dict[str, list[float]] = {name: [] for name in contenders}

    async def median(name: str) -> float:
        arrivals = Arrivals()
        await contenders[name](arrivals.take)
        middle, slow = arrivals.percentiles()
        slowest[name].append(slow)
        return middle

    medians = await measure({name: partial(median, name) for name in contenders}, rounds)
    figures: dict[str, Figures] = {}
    for name, found in medians.items():
        figures[f"{name}: {_MEDIAN}"] = found
        figures[f"{name}: {_P99}"] = found if found.failure else Figures(tuple(slowest[name][1:]))
    return figures


async def _insist_on_success(container: BareContainer) -> None:
    if code := await container.wait():
        raise NotMeasured(f"what writes the lines ended with {code}")
