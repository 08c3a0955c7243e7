"""StartRelease accepted, which is durable then: what a caller waits for, alone and as one of 32.

The releases stay in their queues, behind one that is under way: accepting is measured, not running.
"""

import asyncio
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, closing, suppress
from pathlib import Path
from statistics import median
from time import perf_counter

from bench.agent import SLEEP, Agent, request
from bench.machine import disk_remark
from bench.part import Measured, Setting, judged
from bench.process import helper
from bench.rounds import Contender, Figures, NotMeasured, measure
from bench.rows import Better, Comparison, Row
from bench.unary_and_commit import READY
from releasephase.v1.release_pb2 import Release
from support.daemon import STOP_SECONDS, Daemon, running_daemon

SETTINGS = "[releases]\nmax_concurrent = 1\nmax_queued = 100000\n"
CALLS = {1: 100, 32: 10}
"""Calls of each caller in a round, one after the other, by how many callers there are."""

_ACCEPTED = "StartRelease accepted, {} at once: p50"
_LIMIT = "a unary RPC and one commit, {} at once: p50"

ROWS: tuple[Row, ...] = tuple(
    Comparison(
        f"StartRelease accepted, {callers} {'callers' if callers > 1 else 'caller'}: p50",
        *(_ACCEPTED.format(callers), _LIMIT.format(callers), Better.LESS, 2.0),
    )
    for callers in CALLS
)


def measure_part(setting: Setting) -> Measured:
    """Measure it."""
    with running_daemon(setting.engine.url, SETTINGS) as daemon:
        figures = asyncio.run(_measure(setting, daemon))
        return Measured(judged(ROWS, figures), [disk_remark(daemon.audit)])


async def _measure(setting: Setting, daemon: Daemon) -> dict[str, Figures]:
    image = setting.image()
    async with AsyncExitStack() as stack:
        socket, database = daemon.folder / "limit.sock", daemon.folder / "limit.db"
        await stack.enter_async_context(serving(socket, database))
        agents = await _connected(stack, daemon.socket)
        limits = await _connected(stack, socket)
        first = await agents[0].start(request(image, SLEEP, application="first"))
        await agents[0].until(first, Release.STATE_RUNNING)
        contenders: dict[str, Contender] = {}
        for callers, calls in CALLS.items():
            contenders[_ACCEPTED.format(callers)] = _accepted(agents[:callers], calls, image, daemon.audit)
            contenders[_LIMIT.format(callers)] = _stored(limits[:callers], calls, image, database)
        try:
            return await measure(contenders, setting.rounds)
        finally:
            # Nothing that still waits, after a failure, is to start instead of it.
            await agents[0].drain()
            await agents[0].cancel([first])
            # It ends by itself. SIGTERM while its interpreter goes would kill it: no good end.
            with suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(daemon.process.wait, STOP_SECONDS)


async def _connected(stack: AsyncExitStack, socket: Path) -> list[Agent]:
    """Each caller has a connection of its own."""
    return [await stack.enter_async_context(Agent.connected(socket)) for _ in range(max(CALLS))]


def serving(socket: Path, database: Path) -> AbstractAsyncContextManager[object]:
    """Have the bare service, in a process of its own."""
    return helper("bench.unary_and_commit", socket, database, ready=READY, what="the bare service")


def _accepted(agents: Sequence[Agent], calls: int, image: str, audit: Path) -> Contender:
    async def accepted() -> float:
        before = _count(audit, "releases")
        names, seconds = await _call(agents, calls, image)
        _insist_on_all(_count(audit, "releases") - before, len(agents) * calls)
        await agents[0].cancel(names)
        return seconds

    return accepted


def _stored(agents: Sequence[Agent], calls: int, image: str, database: Path) -> Contender:
    async def stored() -> float:
        before = _count(database, "requests")
        _, seconds = await _call(agents, calls, image)
        _insist_on_all(_count(database, "requests") - before, len(agents) * calls)
        return seconds

    return stored


async def _call(agents: Sequence[Agent], calls: int, image: str) -> tuple[list[str], float]:
    """Let all call at once, each again and again; return the releases and the median of all calls."""
    names, seconds = list[str](), list[float]()

    async def call(number: int, agent: Agent) -> None:
        asked = request(image, SLEEP, application=f"bench-{number}")
        for _ in range(calls):
            begin = perf_counter()
            names.append(await agent.start(asked))
            seconds.append(perf_counter() - begin)

    await asyncio.gather(*[call(number, agent) for number, agent in enumerate(agents)])
    return names, median(seconds)


def _count(database: Path, table: str) -> int:
    """How many rows there are, asked past whoever writes them."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608


def _insist_on_all(stored: int, asked: int) -> None:
    if stored != asked:
        raise NotMeasured(f"{stored} of {asked} are stored")
