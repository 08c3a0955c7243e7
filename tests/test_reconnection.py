"""Waiting for an engine that has gone away: with back-off, with jitter, and not for ever."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest

from released.engine.errors import EngineUnreachable
from released.model.states import Cause, ReleaseState
from released.release import reconnection
from released.release.reconnection import FIRST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS, Reconnection
from released.release.verdict import Concluded

GONE = EngineUnreachable("the engine could not be reached while starting the container")
MINUTE = timedelta(minutes=1)


class Clock:
    """Time that passes only while somebody pauses, and what the pauses were."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


class Engine:
    """An engine that is back at one of the questions."""

    def __init__(self, answers: Sequence[bool] = (True,)) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def is_back(self) -> bool:
        self.asked += 1
        return self.answers.pop(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that the pauses move, without jitter."""
    clock = Clock()
    monkeypatch.setattr(reconnection, "monotonic", clock.monotonic)
    monkeypatch.setattr(asyncio, "sleep", clock.sleep)
    monkeypatch.setattr("random.uniform", lambda low, high: (low + high) / 2)
    return clock


async def test_pauses_double_up_to_the_longest(clock: Clock) -> None:
    """An engine that starts again is not pestered, and soon noticed."""
    engine = Engine([False] * 7 + [True])
    await Reconnection(engine.is_back, MINUTE).wait(GONE, None)
    assert clock.pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0])
    assert (clock.pauses[0], clock.pauses[-1]) == (FIRST_PAUSE, LONGEST_PAUSE)


async def test_pauses_of_releases_differ(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """By half of each, either way: they do not all come at once."""
    monkeypatch.setattr("random.uniform", max)
    await Reconnection(Engine().is_back, MINUTE).wait(GONE, None)
    monkeypatch.setattr("random.uniform", min)
    await Reconnection(Engine().is_back, MINUTE).wait(GONE, None)
    assert clock.pauses == [FIRST_PAUSE * 1.5, FIRST_PAUSE * 0.5]


async def test_it_is_known_whether_the_engine_has_been_away(clock: Clock) -> None:
    """It may have ended containers itself: their exit codes can't be trusted then."""
    waiting = Reconnection(Engine().is_back, MINUTE)
    assert not waiting.happened
    await waiting.wait(GONE, None)
    assert waiting.happened


@pytest.mark.parametrize("running", [None, 2])
async def test_patience_has_an_end(running: int | None) -> None:
    """The release fails, and says for what it waited, and which command ran."""
    waiting = Reconnection(Engine().is_back, timedelta())
    with pytest.raises(Concluded) as concluded:
        await waiting.wait(GONE, running)
    verdict = concluded.value.verdict
    assert verdict.state is ReleaseState.FAILED
    assert verdict.failure is not None
    assert (verdict.failure.cause, verdict.failure.command_index) == (Cause.ENGINE_LOST, running)
    assert verdict.failure.message == (
        "The engine could not be reached while starting the container; the release could not go on within 0s."
    )
    assert not waiting.happened


async def test_engine_that_hangs_does_not_stretch_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question that has no answer is given up at its end."""
    monkeypatch.setattr(reconnection, "FIRST_PAUSE", 0.0)
    given_up = asyncio.Event()

    async def hangs() -> bool:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return True

    with pytest.raises(Concluded):
        await Reconnection(hangs, timedelta(milliseconds=50)).wait(GONE, None)
    assert given_up.is_set()


async def test_engine_that_goes_again_at_once_finds_patience_used_up(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that comes and goes for ever does not keep a release for ever."""
    waiting = Reconnection(Engine([True] * 9).is_back, MINUTE)
    left = remaining(monkeypatch)
    await waiting.wait(GONE, None)
    clock.now += 40
    await waiting.wait(GONE, None)
    assert left == pytest.approx([60.0, 60.0 - FIRST_PAUSE - 40])
    clock.now += 40
    await waiting.wait(GONE, None)
    assert left[2] == 0.0


async def test_patience_is_whole_again_when_the_release_gets_on(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another loss is another one; time alone does not make it one, since a call that fails takes time."""
    waiting = Reconnection(Engine([True] * 9).is_back, MINUTE)
    left = remaining(monkeypatch)
    await waiting.wait(GONE, None)
    waiting.settled()
    clock.now += STEADY_SECONDS + 1
    await waiting.wait(GONE, None)
    clock.now += STEADY_SECONDS + 1
    await waiting.wait(GONE, None)
    assert left == pytest.approx([60.0, 60.0, 0.0])


async def test_pauses_stay_long_for_an_engine_that_goes_again_at_once(clock: Clock) -> None:
    """Answering one question is not being back for good."""
    waiting = Reconnection(Engine([False, False, True, True, True]).is_back, MINUTE)
    await waiting.wait(GONE, None)
    await waiting.wait(GONE, None)
    clock.now += STEADY_SECONDS + 1
    waiting.settled()
    await waiting.wait(GONE, None)
    assert clock.pauses == pytest.approx([0.2, 0.4, 0.8, 1.6, 0.2])


def remaining(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of patience with which each wait begins; none of them is enforced."""
    left: list[float] = []

    def unlimited(seconds: float) -> asyncio.Timeout:
        left.append(seconds)
        return asyncio.timeout_at(None)

    monkeypatch.setattr(asyncio, "timeout", unlimited)
    return left
