"""A daemon with nothing, and with 50 releases under way: memory, and how fast the next one adopts them."""

import asyncio
import sqlite3
import tempfile
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from time import time

from bench.agent import SLEEP, Agent, request
from bench.memory import memory_of
from bench.part import Measured, Setting, judged
from bench.rounds import Figures, NotMeasured, measure
from bench.rows import Bound, Row, Unit
from support.daemon import Daemon, running_daemon

RELEASES = 50
SETTINGS = f"[releases]\nmax_concurrent = {RELEASES}\n"
LONGEST_ADOPTION = 60.0
"""Seconds after which it has failed."""

_LOOK_AGAIN = 0.02
"""Seconds between two looks at the audit log; the time that counts is in it."""

_IDLE = "released, idle"
_RUNNING = f"released, {RELEASES} releases under way"
_ADOPTED = "released, from its start until the last one is adopted"
_AFTERWARDS = f"released, {RELEASES} releases adopted"

ROWS: tuple[Row, ...] = (
    Bound("idle daemon: memory", _IDLE, 60, Unit.MIB),
    Bound(f"{RELEASES} running releases: memory", _RUNNING, 120, Unit.MIB),
    Bound(f"{RELEASES} adopted releases: memory", _AFTERWARDS, 120, Unit.MIB),
    Bound(f"restart with {RELEASES} releases: time", _ADOPTED, 2.0),
)


def measure_part(setting: Setting) -> Measured:
    """Measure it, each round with daemons of its own."""
    return Measured(judged(ROWS, asyncio.run(_measure(setting))))


async def _measure(setting: Setting) -> dict[str, Figures]:
    memory: dict[str, list[float]] = defaultdict(list)
    image = setting.image()

    async def adopt() -> float:
        with tempfile.TemporaryDirectory(prefix="rp-bench-") as folder:
            audit = Path(folder, "audit.db")
            with running_daemon(setting.engine.url, SETTINGS, audit) as daemon:
                async with Agent.connected(daemon.socket) as agent:
                    await agent.status()
                    memory[_IDLE].append(_mib(daemon))
                    names = await _start_all(agent, image)
                    memory[_RUNNING].append(_mib(daemon))
            begin = time()
            with running_daemon(setting.engine.url, SETTINGS, audit) as daemon:
                async with Agent.connected(daemon.socket) as agent:
                    try:
                        adopted = await _last_adoption(audit)
                        memory[_AFTERWARDS].append(_mib(daemon))
                    finally:
                        # Adopted means: it can be stopped, and its end is told.
                        await agent.cancel(names)
            return adopted - begin

    figures = await measure({_ADOPTED: adopt}, setting.rounds)
    adoption = figures[_ADOPTED]
    for name in (_IDLE, _RUNNING, _AFTERWARDS):
        figures[name] = adoption if adoption.failure else Figures(tuple(memory[name][1:]))
    return figures


async def _start_all(agent: Agent, image: str) -> list[str]:
    """Start releases of as many targets, and return when the command of each has been let go."""
    names = list[str]()
    try:
        for number in range(RELEASES):
            names.append(await agent.start(request(image, SLEEP, application=f"bench-{number}")))
        await asyncio.gather(*[agent.until_started(name) for name in names])
    except BaseException:
        await agent.cancel(names)
        raise
    return names


async def _last_adoption(audit: Path) -> float:
    """Wait until the log says of each that it is adopted; return when the last one was, by the wall clock."""
    with closing(sqlite3.connect(f"{audit.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            async with asyncio.timeout(LONGEST_ADOPTION):
                while True:
                    count, last = connection.execute(
                        "SELECT count(DISTINCT release_id), max(event_time) FROM events "
                        "WHERE kind = 'release_adopted'"
                    ).fetchone()
                    if count == RELEASES:
                        return float(last / 1e6)
                    await asyncio.sleep(_LOOK_AGAIN)
        except TimeoutError:
            raise NotMeasured(f"after {LONGEST_ADOPTION:g} s {count} of {RELEASES} were adopted") from None


def _mib(daemon: Daemon) -> float:
    return memory_of(daemon.process.pid).resident / 1024
