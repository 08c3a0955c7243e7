"""One release that writes as fast as it can: what 20 watchers cost it beside one."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from bench.agent import Agent, request, seconds_between
from bench.part import Measured, Setting, judged
from bench.release import stored_bytes
from bench.rounds import Figures, NotMeasured, measure
from bench.rows import Better, Comparison, Row
from bench.watching import READY
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import Release
from support.daemon import BIN, Daemon, running_daemon

REPOSITORY = Path(__file__).resolve().parents[2]
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
                async with _watching(daemon, name, watchers) as process:
                    await asyncio.to_thread(_let_go, setting, name)
                    output, _ = await process.communicate()
            seen = [int(line) for line in output.split()]
            if seen != [OUTPUT_BYTES] * watchers or stored_bytes(daemon.audit, name) != OUTPUT_BYTES:
                raise NotMeasured(f"of {OUTPUT_BYTES} bytes, the watchers saw {seen}")
            return await _seconds_of_noise(agent, name)

        return await measure({_ONE: lambda: release(1), _MANY: lambda: release(WATCHERS)}, setting.rounds)


@asynccontextmanager
async def _watching(daemon: Daemon, name: str, watchers: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start watchers; the block begins when all have seen the release."""
    process = await asyncio.create_subprocess_exec(
        *(BIN / "python", "-m", "bench.watching", daemon.socket, name, str(watchers)),
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    try:
        line = await process.stdout.readline() if process.stdout else b""
        if line.decode().strip() != READY:
            raise NotMeasured("the watchers did not start")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


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
