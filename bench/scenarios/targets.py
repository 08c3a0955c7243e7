"""50 deployment targets with 3 commands each at once: time, and whether somebody is left behind."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from statistics import median
from time import perf_counter
from typing import Any

from bench.engine_calls import BareEngine
from bench.part import Measured, Setting, judged
from bench.peers.docker_cli import LIKE_OURS, find_docker
from bench.process import run
from bench.release import ReleaseCaller
from bench.rounds import Figures, NotMeasured, measure
from bench.rows import Beside, Better, Comparison, Row
from support.daemon import Daemon, running_daemon

TARGETS = 50
COMMANDS = 3

_ALL_AT_ONCE = f"[releases]\nmax_concurrent = {TARGETS}\n"

_RELEASES = f"{TARGETS} releases"
_LIMIT = f"create, attach, start, wait, delete: {TARGETS} containers"
_RUNS = f"xargs -P {TARGETS}: docker run for each command"
_LINES = f"xargs -P {TARGETS}: docker run for each target, its commands in one line"
_SLOWEST = "the slowest target"
_MEDIAN = "the median of the targets"
_SLOWEST_BARE = "the slowest of the bare containers"
_MEDIAN_BARE = "their median"

_SCENARIO = f"{TARGETS} targets with {COMMANDS} commands each at once"

ROWS: tuple[Row, ...] = (
    Comparison(f"{_SCENARIO}: time", _RELEASES, _LIMIT, Better.LESS, 1.10),
    Comparison(f"{_SCENARIO}: time", _RELEASES, _RUNS, Better.LESS, 1.0),
    Comparison(f"{_SCENARIO}: time", _RELEASES, _LINES, Better.LESS, 1.0),
    Comparison(f"{_SCENARIO}: fairness", _SLOWEST, _MEDIAN, Better.LESS, 1.5),
    # What the engine itself does to those who come at once.
    Beside(f"{_SCENARIO}: fairness", _SLOWEST_BARE, _MEDIAN_BARE),
)


def measure_part(setting: Setting) -> Measured:
    """Measure a daemon that may run as many releases at once as there are targets."""
    with running_daemon(setting.engine.url, _ALL_AT_ONCE) as daemon:
        return Measured(judged(ROWS, asyncio.run(_measure(setting, daemon))))


async def _measure(setting: Setting, daemon: Daemon) -> dict[str, Figures]:
    docker, image = await asyncio.to_thread(find_docker), setting.image()
    run_true = f"{docker} run --rm {' '.join(LIKE_OURS)} {image}"
    ours, bares = list[list[float]](), list[list[float]]()

    async with (
        ReleaseCaller.connected(daemon.socket, image) as caller,
        BareEngine(setting.engine.url, image) as bare,
    ):

        async def releases() -> None:
            def release(number: int) -> Coroutine[Any, Any, None]:
                return caller.run(*["true"] * COMMANDS, application=f"bench-{number}")

            ours.append(await _all_at_once(release))

        async def containers() -> None:
            bares.append(await _all_at_once(lambda _: bare.run_true()))

        async def runs() -> None:
            await _xargs(" && ".join([f"{run_true} true"] * COMMANDS))

        async def lines() -> None:
            await _xargs(f"{run_true} sh -c '{' && '.join(['true'] * COMMANDS)}'")

        contenders = {_RELEASES: releases, _LIMIT: containers, _RUNS: runs, _LINES: lines}
        figures = await measure(contenders, setting.rounds)
    return (
        figures
        | _fairness(figures[_RELEASES], ours, _SLOWEST, _MEDIAN)
        | _fairness(figures[_LIMIT], bares, _SLOWEST_BARE, _MEDIAN_BARE)
    )


def _fairness(whole: Figures, rounds: Sequence[list[float]], slowest: str, middle: str) -> dict[str, Figures]:
    """The slowest and the median of each round, under these names; the first round only warmed up."""
    if whole.failure:
        return dict.fromkeys((slowest, middle), Figures(failure=whole.failure))
    return {slowest: Figures(tuple(map(max, rounds[1:]))), middle: Figures(tuple(map(median, rounds[1:])))}


async def _all_at_once(work: Callable[[int], Coroutine[Any, Any, None]]) -> list[float]:
    """Do it for each target; return how many seconds each took from the common start."""
    begin = perf_counter()

    async def timed(number: int) -> float:
        await work(number)
        return perf_counter() - begin

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(timed(number)) for number in range(TARGETS)]
    except* NotMeasured as errors:
        count, first = len(errors.exceptions), errors.exceptions[0]
        raise NotMeasured(f"{count} targets failed, one of them: {first}") from errors
    return [task.result() for task in tasks]


async def _xargs(line: str) -> None:
    """Run a shell line for each target; xargs ends with 123 if any of them failed."""
    script = f'seq {TARGETS} | xargs -P {TARGETS} -n 1 sh -c "$1"'
    await run("sh", "-c", script, "sh", line)
