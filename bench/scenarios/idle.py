"""A daemon that has nothing to do."""

import asyncio
from time import perf_counter

from bench.cpu import cpu_seconds
from bench.part import Measured, Setting, judged
from bench.rounds import Figures, measure
from bench.rows import Bound, Row, Unit
from support.daemon import running_daemon

SPAN = 30.0
"""Seconds of a round: several times as long as the longest pause between two looks at the engine."""

_CPU = f"released, over {SPAN:g} s"

ROWS: tuple[Row, ...] = (Bound("idle daemon: CPU", _CPU, 0.1, Unit.PERCENT),)


def measure_part(setting: Setting) -> Measured:
    """Measure it."""
    return Measured(judged(ROWS, asyncio.run(_measure(setting))))


async def _measure(setting: Setting) -> dict[str, Figures]:
    with running_daemon(setting.engine.url) as daemon:

        async def percent() -> float:
            begin, used = perf_counter(), cpu_seconds(daemon.process.pid)
            await asyncio.sleep(SPAN)
            return 100 * (cpu_seconds(daemon.process.pid) - used) / (perf_counter() - begin)

        return await measure({_CPU: percent}, setting.rounds)
