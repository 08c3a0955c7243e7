"""Measuring contenders side by side: one after the other in each round, so that noise hits all of them."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Mapping
from statistics import median
from time import perf_counter
from typing import NamedTuple

FEWEST_ROUNDS = 5
"""A median of fewer says nothing."""

SHORT_ROUNDS = 3
"""Rounds of what is short for each round of what is long: what an engine or a disk takes for it varies."""

LONGEST_SECONDS = 300
"""After this long, a contender hangs."""

Contender = Callable[[], Awaitable[float | None]]
"""Does the work once, and may say itself how many seconds count; if it does not, all of them do.

Raises NotMeasured when the work can't be done, or was not done as it should.
"""


class NotMeasured(Exception):
    """There is no honest figure; the message says why."""


class NotInstalled(NotMeasured):
    """A peer can't be had on this machine; the message says why."""


class Figures(NamedTuple):
    """What a contender took in each round, in the unit of its row; or why that is not known."""

    values: tuple[float, ...] = ()
    failure: NotMeasured | None = None

    @property
    def median(self) -> float:
        """The figure to compare."""
        return median(self.values)


async def measure(contenders: Mapping[str, Contender], rounds: int) -> dict[str, Figures]:
    """Let all contenders run in every round, after a round that only warms up; return their seconds.

    Every other round goes backwards, so that nobody always comes after the same neighbour.
    A contender that fails is out from then on; the others go on.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    failures: dict[str, NotMeasured] = {}
    for number in range(rounds + 1):
        print(f"round {number} of {rounds}: {' · '.join(contenders)}", file=sys.stderr)
        for name in list(contenders)[:: -1 if number % 2 else 1]:
            if name not in failures:
                try:
                    seconds[name].append(await _time(contenders[name]))
                except NotMeasured as error:
                    failures[name] = error
    return {
        name: Figures(failure=failures[name]) if name in failures else Figures(tuple(seconds[name][1:]))
        for name in contenders
    }


async def _time(contender: Contender) -> float:
    begin = perf_counter()
    try:
        async with asyncio.timeout(LONGEST_SECONDS):
            seconds = await contender()
    except TimeoutError:
        raise NotMeasured(f"it did not end within {LONGEST_SECONDS} seconds") from None
    return perf_counter() - begin if seconds is None else seconds
