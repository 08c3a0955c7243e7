"""What a history costs as it grows: starting the daemon, a page of releases, appending."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from statistics import median

from bench.generated_log import append
from bench.generated_releases import EVENTS_EACH, events_of
from bench.history import PAGE_SIZE, Answered, HistoryHandler, Question
from bench.part import Measured, Setting, judged
from bench.rounds import SHORT_ROUNDS, Contender, Figures, NotMeasured, measure
from bench.rows import Row, growth, one_more
from bench.scenarios.audit import large_log, opened, seconds_to_start
from released.audit.log import AuditLog

EVENTS = (1_000, 10_000, 100_000, 1_000_000)
APPENDED = 5
"""Releases that are appended in a round, each event in a commit of its own."""
REPEATED = 10
"""Times in a round, of what is short."""

_START = "released until it is ready"
_APPEND = "appending"
_PAGES = {
    "the newest releases": Question("", "TRUE"),
    "the longest releases": Question("", "TRUE", by_duration=True),
}
"""Whatever the size, there are enough of them for a page."""


def measure_part(setting: Setting) -> Measured:
    """Measure all sizes side by side, as far as the setting's log is so large."""
    sizes = [events for events in EVENTS if events <= setting.releases * EVENTS_EACH]
    with ExitStack() as stack:
        logs = {size: stack.enter_context(large_log(size // EVENTS_EACH)).path for size in sizes}
        figures = asyncio.run(_measure(setting, logs))
    return Measured(judged(_rows(sizes), figures))


def _rows(sizes: list[int]) -> list[Row]:
    def named(work: str) -> dict[int, str]:
        return {size: _named(work, size) for size in sizes}

    return list(
        chain(
            growth("growing history: start of the daemon", named(_START)),
            chain.from_iterable(one_more(f"growing history: a page, {page}", named(page)) for page in _PAGES),
            one_more("growing history: appending as much", named(_APPEND)),
        )
    )


def _named(work: str, size: int) -> str:
    return f"{work}, {size:,} events"


async def _measure(setting: Setting, logs: Mapping[int, Path]) -> dict[str, Figures]:
    starting: dict[str, Contender] = {
        _named(_START, size): partial(asyncio.to_thread, seconds_to_start, setting.engine.url, path)
        for size, path in logs.items()
    }
    figures = await measure(starting, setting.rounds)
    async with AsyncExitStack() as stack:
        audits = {size: await stack.enter_async_context(opened(path)) for size, path in logs.items()}
        for page, question in _PAGES.items():
            asking: dict[str, Contender] = {
                _named(page, size): partial(_first_page, HistoryHandler(audit), question)
                for size, audit in audits.items()
            }
            figures |= await measure(asking, SHORT_ROUNDS * setting.rounds)
        appending: dict[str, Contender] = {
            _named(_APPEND, size): partial(_append, audit, count(size)) for size, audit in audits.items()
        }
        return figures | await measure(appending, SHORT_ROUNDS * setting.rounds)


async def _first_page(handler: HistoryHandler, question: Question) -> float:
    """Return how long the first page takes; those behind it are fewer in a small log."""
    answered = [Answered() for _ in range(REPEATED)]
    for each in answered:
        if await handler.answer(question, each) < PAGE_SIZE:
            raise NotMeasured("the log has no whole page")
    return median(each.pages[0] for each in answered)


async def _append(audit: AuditLog, numbers: "count[int]") -> None:
    for number in islice(numbers, APPENDED):
        for event in events_of(number):
            await append(audit, event)
