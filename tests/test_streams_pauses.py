"""How long resumed streams wait before they read the engine's log again."""

import asyncio
from typing import Any

import pytest

from released.release import resumed
from support.resumed_streams import Resumed
from support.scripted_container import (
    NONCE,
    ScriptedAttachment,
    ScriptedEngine,
    Written,
    mark,
    out,
)


class Pauses:
    """Takes the place of asyncio's pauses, none of which takes any time, and of the clock."""

    def __init__(self, patch: pytest.MonkeyPatch, reading_seconds: float) -> None:
        self.seconds: list[float] = []
        self._now = 1000.0
        self._reading_seconds = reading_seconds
        self._sleep, self._wait = asyncio.sleep, asyncio.wait
        patch.setattr(resumed, "FIRST_PAUSE", 0.05)
        patch.setattr(resumed, "COST_FACTOR", 10)
        patch.setattr(resumed, "monotonic", self.monotonic)
        patch.setattr(asyncio, "sleep", self.sleep)
        patch.setattr(asyncio, "wait", self.wait)

    def monotonic(self) -> float:
        """It is looked at before and behind each reading."""
        self._now += self._reading_seconds
        return self._now

    async def sleep(self, seconds: float) -> None:
        self.seconds.append(seconds)
        await self._sleep(0)

    async def wait(self, tasks: Any, *, timeout: float | None = None, **options: Any) -> Any:
        if timeout is None:
            return await self._wait(tasks, **options)
        self.seconds.append(timeout)
        return await self._wait(tasks, timeout=0, **options)


async def pauses_of(
    patch: pytest.MonkeyPatch, engine: ScriptedEngine, live: Written, nonce: str, reading_seconds: float
) -> list[float]:
    """The pauses before the first readings of a log that is never far enough."""
    with patch.context() as patched:
        pauses = Pauses(patched, reading_seconds)
        attachment = ScriptedAttachment()
        attachment.coming = asyncio.Queue()
        for chunk in live:
            attachment.coming.put_nowait(chunk)
        resumed = Resumed(engine, attachment, nonce, has_been_ready=False)
        reading = asyncio.create_task(resumed.read())
        while len(pauses.seconds) < 24:
            await pauses._sleep(0)
        reading.cancel()
        await pauses._wait({reading})
    return pauses.seconds


@pytest.mark.parametrize(
    ("reading_seconds", "expected"),
    [
        (0.0, [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0, 2.0]),
        (0.1, [1.0, 1.0, 1.0, 1.0, 1.6, 2.0, 2.0, 2.0, 2.0]),
    ],
)
async def test_pauses_do_not_grow_for_ever_while_there_is_no_marker(
    monkeypatch: pytest.MonkeyPatch, reading_seconds: float, expected: list[float]
) -> None:
    """A container of one command has none: its output is to be seen soon, unless its log costs much."""
    engine = ScriptedEngine(out(b"one\n"))
    pauses = await pauses_of(monkeypatch, engine, [], "", reading_seconds)
    assert pauses[: len(expected)] == pytest.approx(expected)


@pytest.mark.parametrize(("reading_seconds", "expected"), [(0.0, 0.05), (0.1, 1.0)])
async def test_there_is_a_pause_each_time_that_the_log_lacks_a_marker(
    monkeypatch: pytest.MonkeyPatch, reading_seconds: float, expected: float
) -> None:
    """The live streams have shown it, the log is behind; a log that costs much is left alone for longer."""
    engine = ScriptedEngine(mark("ready"))
    pauses = await pauses_of(monkeypatch, engine, mark("here 0"), NONCE, reading_seconds)
    assert pauses[-4:] == pytest.approx([expected] * 4)  # the first are before the live streams have shown it
