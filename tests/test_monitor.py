"""The engine's monitor: who is told of the engine, and how often."""

from typing import cast

import pytest

from released.audience import NotYet
from released.engine.engine import Engine
from released.engine.errors import EngineUnreachable
from released.monitor import EngineHealth, EngineMonitor

HERE = EngineHealth(reachable=True, version="1.0")


class ScriptedEngine:
    """An engine that answers, unless it is away."""

    url = "unix:///engine.sock"
    away = False

    async def version(self) -> str:
        if self.away:
            raise EngineUnreachable("gone")
        return "1.0"


class Listener:
    """Keeps what it is told, and fails as long as there is an error to fail with."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.told: list[bool] = []

    async def __call__(self, health: EngineHealth) -> None:
        self.told.append(health.reachable)
        if self.error:
            raise self.error


@pytest.fixture
def scripted() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def monitor(scripted: ScriptedEngine) -> EngineMonitor:
    return EngineMonitor(cast(Engine, scripted))


async def test_listeners_are_told_when_the_engine_comes_or_goes(
    scripted: ScriptedEngine, monitor: EngineMonitor
) -> None:
    """At the first check, and then not before it is otherwise."""
    monitor.audience.listen(listener := Listener())
    for scripted.away in (False, False, True, True, False):
        await monitor.check()
    assert listener.told == [True, False, True]


async def test_listener_that_fails_spoils_nothing_and_is_told_again(
    monitor: EngineMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever asked for the check gets its answer, and the other listeners hear of it, once."""
    failing, other = Listener(LookupError("a defect")), Listener()
    monitor.audience.listen(failing)
    monitor.audience.listen(other)
    assert await monitor.check() == HERE
    assert await monitor.check() == HERE
    failing.error = None
    await monitor.check()
    await monitor.check()
    assert (failing.told, other.told) == ([True, True, True], [True])
    assert caplog.text.count("LookupError: a defect") == 2


async def test_listener_that_failed_is_told_how_it_is_now(
    scripted: ScriptedEngine, monitor: EngineMonitor
) -> None:
    """Not that the engine was there, when it has gone since."""
    monitor.audience.listen(listener := Listener(LookupError("a defect")))
    await monitor.check()
    scripted.away, listener.error = True, None
    await monitor.check()
    await monitor.check()
    assert listener.told == [True, False]


async def test_listener_that_is_not_ready_is_told_again(
    monitor: EngineMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    """That is no defect: the log has its reason in a line."""
    monitor.audience.listen(listener := Listener(NotYet("the engine is slow")))
    await monitor.check()
    listener.error = None
    await monitor.check()
    await monitor.check()
    assert listener.told == [True, True]
    (warning,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert (warning.getMessage(), warning.exc_info) == ("the engine is slow", None)
