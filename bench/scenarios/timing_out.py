"""From the moment in which a command's time is up until it is dead, removed and reported."""

import asyncio
from datetime import timedelta
from time import perf_counter, time

from bench.agent import Agent, request
from bench.bare_container import BareContainer
from bench.engine_calls import BareEngine
from bench.part import Measured, Setting, judged
from bench.rounds import SHORT_ROUNDS, Figures, NotMeasured, measure
from bench.rows import Better, Comparison, Row
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import Failure, Release
from support.daemon import running_daemon

TIMEOUT = timedelta(seconds=1)
GRACE = timedelta(seconds=1)
_STUBBORN = "trap '' TERM; while :; do sleep 3600; done"
"""Only SIGKILL ends it."""

_RELEASE = "a release, from its timeout and grace until its end is seen"
_KILL = "SIGKILL, wait, delete"

ROWS: tuple[Row, ...] = (
    Comparison("timeout to dead, removed and reported, less the grace", _RELEASE, _KILL, Better.LESS, 1.2),
)


def measure_part(setting: Setting) -> Measured:
    """Measure it."""
    return Measured(judged(ROWS, asyncio.run(_measure(setting))))


async def _measure(setting: Setting) -> dict[str, Figures]:
    image = setting.image()
    settings = f"[releases]\nstop_grace = {GRACE.total_seconds():g}\n"
    with running_daemon(setting.engine.url, settings) as daemon:
        async with Agent.connected(daemon.socket) as agent, BareEngine(setting.engine.url, image) as bare:

            async def release() -> float:
                return await _time_out(agent, image)

            async def kill() -> float:
                return await _kill(bare, image)

            return await measure({_RELEASE: release, _KILL: kill}, SHORT_ROUNDS * setting.rounds)


async def _time_out(agent: Agent, image: str) -> float:
    started = last = ReleaseEvent()
    async with agent.started(request(image, _STUBBORN, timeout=TIMEOUT)) as name:
        async for event in agent.events(name):
            last = event
            if event.HasField("command_started"):
                started = event
    seen = time()
    changed = last.state_changed
    if changed.state != Release.STATE_FAILED or changed.failure.cause != Failure.CAUSE_COMMAND_TIMED_OUT:
        raise NotMeasured(f"{name} did not end by its timeout: {changed.failure.message}")
    # The daemon's clock is this machine's.
    return seen - started.event_time.ToNanoseconds() / 1e9 - (TIMEOUT + GRACE).total_seconds()


async def _kill(bare: BareEngine, image: str) -> float:
    async with BareContainer.created(bare, image, "/bin/sh", "-c", _STUBBORN) as container:
        await container.start()
        ended = asyncio.create_task(container.wait())
        await asyncio.sleep(TIMEOUT.total_seconds())
        begin = perf_counter()
        await container.kill()
        code = await ended
        await container.delete()
        seconds = perf_counter() - begin
    if code != 128 + 9:
        raise NotMeasured(f"SIGKILL ended it with {code}")
    return seconds
