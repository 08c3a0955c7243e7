"""One release that writes as fast as it can: what 20 watchers cost it beside one."""

import asyncio
from contextlib import AsyncExitStack

from bench.agent import Agent, request, seconds_between
from bench.part import Measured, Setting, judged
from bench.process import helper
from bench.release import stored_bytes
from bench.rounds import Figures, NotMeasured, measure
from bench.rows import Better, Comparison, Row
from bench.watching import READY
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import Release
from support.daemon import running_daemon

WATCHERS = 20
OUTPUT_BYTES = 20_000_000
_WAIT = "until [ -e /tmp/watched ]; do sleep 0.05; done"
_NOISE = f"yes '2026-01-31 12:00:00 INFO applied shop.0042_prices to 1024 rows' | head -c {OUTPUT_BYTES}"

_ONE, _MANY = "a noisy release with one watcher", f"the same with {WATCHERS}"

ROWS: tuple[Row, ...] = (
    Comparison(
        f"{OUTPUT_BYTES // 10**6} MB of text, {WATCHERS} watchers: time", _MANY, _ONE, Better.LESS, 1.1
    ),
)


def measure_part(setting: Setting) -> Measured:
    """Measure it."""
    return Measured(judged(ROWS, asyncio.run(_measure(setting))))


async def _measure(setting: Setting) -> dict[str, Figures]:
    image = setting.image()
    async with AsyncExitStack() as stack:
        daemon = stack.enter_context(running_daemon(setting.engine.url))
        agent = await stack.enter_async_context(Agent.connected(daemon.socket))

        async def release(watchers: int) -> float:
            async with agent.started(request(image, _WAIT, _NOISE)) as name:
                await agent.until(name, Release.STATE_RUNNING)
                watched = (daemon.socket, name, str(watchers))
                # It begins when all have seen the release.
                async with helper("bench.watching", *watched, ready=READY, what="a watcher") as process:
                    await asyncio.to_thread(_let_go, setting, name)
                    output, _ = await process.communicate()
            seen = [int(line) for line in output.split()]
            if seen != [OUTPUT_BYTES] * watchers or stored_bytes(daemon.audit, name) != OUTPUT_BYTES:
                raise NotMeasured(f"of {OUTPUT_BYTES} bytes, the watchers saw {seen}")
            return await _seconds_of_noise(agent, name)

        return await measure({_ONE: lambda: release(1), _MANY: lambda: release(WATCHERS)}, setting.rounds)


def _let_go(setting: Setting, name: str) -> None:
    """Let the release write."""
    container = setting.engine.container_of(name)
    code, words = setting.engine.run_in(container, "touch /tmp/watched")
    if code:
        raise NotMeasured(f"the release can't be told that it is watched: {words}")


async def _seconds_of_noise(agent: Agent, name: str) -> float:
    """From the start of the command that writes to the end of the release, by the daemon's clock."""
    started = last = ReleaseEvent()
    async for event in agent.events(name):
        last = event
        if event.HasField("command_started"):
            started = event
    await agent.succeeded(name)
    return seconds_between(started, last)
