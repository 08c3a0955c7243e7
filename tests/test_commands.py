"""One command in a container: what becomes of it when the engine's log of it can't be read to its end."""

import asyncio
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest

from released.engine.engine import FoundContainer
from released.model.events import Body, SignalSent
from released.model.instant import now
from released.model.states import Cause, CommandState, ReleaseState
from released.release import commands
from released.release.commands import CommandRunner
from released.release.context import ReleaseContext
from released.release.session import CommandEnd
from released.release.standing import Running, Since
from released.release.stopping import StopSwitch
from released.release.verdict import Concluded, Stop
from support.samples import a_command

PATIENCE = 30.0
"""Seconds after which a test fails in which something does not happen that must."""

CONTAINER = FoundContainer("container", "name", None, "nonce", True, True, frozenset())

LONG_AGO = Since(None, datetime(2026, 1, 1, tzinfo=UTC))


class HangingLog:
    """A dialogue with a container whose log is never read to its end; its command ends on a signal."""

    def __init__(self, start_was_seen: bool) -> None:
        self.start_was_seen = start_was_seen
        self.signals: list[str] = []
        self.noted: list[Body] = []
        self.is_reading = asyncio.Event()
        self._signalled = asyncio.Event()

    async def caught_up(self) -> None:
        self.is_reading.set()
        await asyncio.Event().wait()

    async def open_gate(self, command_index: int) -> None:
        raise AssertionError("it may have been let go before")

    async def end_of(self, command_index: int) -> CommandEnd | None:
        await self._signalled.wait()
        return CommandEnd(143, stopped=True)

    async def ended(self) -> None:
        raise AssertionError("it was not killed")

    def known_end(self, command_index: int) -> CommandEnd | None:
        return None

    def has_started(self, command_index: int) -> bool:
        return self.start_was_seen

    def note(self, *bodies: Body) -> None:
        self.noted += bodies

    async def signal_container(self, container_id: str, name: str) -> None:
        self.signals.append(name)
        self._signalled.set()


class Adopted(HangingLog):
    """The dialogue, and a runner that goes on with its command."""

    def __init__(self, start_was_seen: bool) -> None:
        super().__init__(start_was_seen)
        self.switch = StopSwitch()
        context = SimpleNamespace(
            release_id="release",
            engine=self,
            journal=self,
            config=SimpleNamespace(releases=SimpleNamespace(stop_grace=PATIENCE)),
            switch=self.switch,
            pace=SimpleNamespace(watching=lambda index, label, running: nullcontext()),
            reconnection=SimpleNamespace(settled=lambda: None),
            engine_was_away=False,
        )
        self._runner = CommandRunner(cast(ReleaseContext, context), self, CONTAINER)

    async def run(self, since: Since) -> Concluded:
        with pytest.raises(Concluded) as concluded:
            async with asyncio.timeout(PATIENCE):
                await self._runner.run(0, a_command(), Running(0, since))
        return concluded.value


@pytest.fixture(params=[True, False], ids=["start_was_seen", "start_was_not_seen"])
async def adopted(request: pytest.FixtureRequest) -> Adopted:
    return Adopted(request.param)


async def test_log_that_hangs_does_not_undo_a_timeout(
    adopted: Adopted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is stopped once reading its log has had its time."""
    monkeypatch.setattr(commands, "CATCHING_UP_TIME", timedelta())
    verdict = (await adopted.run(LONG_AGO)).verdict
    assert verdict.failure is not None
    assert (verdict.failure.cause, adopted.signals) == (Cause.COMMAND_TIMED_OUT, ["SIGTERM"])
    assert verdict.stopped_command is not None
    assert verdict.stopped_command.state is CommandState.TIMED_OUT
    assert [type(body) for body in adopted.noted] == [SignalSent]


async def test_log_that_hangs_does_not_undo_a_cancel(
    adopted: Adopted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However much time the command has: it is stopped soon, also if it is not known whether it runs."""
    monkeypatch.setattr(commands, "SETTLING_TIME", timedelta())
    running = asyncio.create_task(adopted.run(Since(now(), datetime.now(UTC))))
    await adopted.is_reading.wait()
    adopted.switch.stop(Stop.CANCELLED)
    verdict = (await running).verdict
    assert (verdict.state, adopted.signals) == (ReleaseState.CANCELLED, ["SIGTERM"])
