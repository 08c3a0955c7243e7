"""Running one release's commands: one gate after the other, each until its exit or its timeout."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from signal import Signals

from released.engine.errors import EngineError, EngineUnreachable
from released.model.durations import in_words
from released.model.events import CommandFinished, CommandStarted, SignalSent
from released.model.release import Command
from released.model.states import Cause, CommandState
from released.release.context import ReleaseContext
from released.release.endings import SETTLING_TIME, how_it_ended
from released.release.session import Session
from released.release.stopping import Stopped
from released.release.verdict import (
    Concluded,
    Stop,
    Verdict,
    command_state,
    explain_exit,
    failed,
    signal_of,
    stopped,
)

logger = logging.getLogger(__name__)


class CommandRunner:
    """Runs commands in a container whose supervisor is ready."""

    def __init__(self, context: ReleaseContext, session: Session, container_id: str) -> None:
        self._container_id = container_id
        self._session = session
        self._engine = context.engine
        self._stop_grace = context.config.releases.stop_grace
        self._journal = context.journal
        self._recorder = context.recorder
        self._switch = context.switch

    async def run(self, index: int, command: Command) -> None:
        """Run one command to its success; raise Concluded for any other end, and for a stop."""
        self._switch.check()
        # Durable before it is let go: after a crash, no start recorded means not started.
        await self._journal.record(CommandStarted(command_index=index))
        logger.info("command %d (%s) started", index, command.label)
        try:
            status = await self._switch.guard(self._exit_status(index), command.timeout)
        except TimeoutError:
            raise Concluded(await self._time_out(index, command.timeout)) from None
        except Stopped as error:
            finished = await self._stop(index, error.stop, error.stop.value)
            raise Concluded(stopped(error.stop, finished)) from None
        await self._finish(index, status)
        if status != 0:
            raise Concluded(await self._explain_failure(index, status))

    async def _exit_status(self, index: int) -> int:
        """Open the gate and return the command's exit status; raise Concluded if it can't be known."""
        try:
            await self._session.open_gate(index)
        except EngineUnreachable as error:
            logger.warning("the gate could not be opened: %s", error)
        status = await self._session.exit_status(index)
        if status is None:
            ending = await how_it_ended(self._engine, self._container_id)
            raise Concluded(failed(ending.cause, f"{ending.message} while the command ran", index))
        return status

    async def _finish(self, index: int, status: int) -> None:
        finished = CommandFinished(
            command_index=index,
            state=CommandState.FAILED if status else CommandState.SUCCEEDED,
            exit_code=status,
            signal=signal_of(status),
            end_time=datetime.now(UTC),
        )
        await self._recorder.flush()
        # Durable together with the start of the next command, or before the container goes.
        self._journal.note(finished)
        logger.info("command %d ended with exit code %d", index, status)

    async def _explain_failure(self, index: int, status: int) -> Verdict:
        """Tell a command that was killed for memory from others: only the engine knows."""
        message = explain_exit(status)
        try:
            # The supervisor ends with the first command that fails.
            state = await self._engine.inspect_ended(self._container_id, SETTLING_TIME)
        except EngineError as error:
            logger.warning("whether the container ran out of memory is not known: %s", error)
            state = None
        if state is None or not state.out_of_memory:
            return failed(Cause.COMMAND_FAILED, message, index)
        message += "; the kernel killed a process of the container because it was out of memory"
        # It may have been a process of an earlier command, or one that this command could do without.
        killed = signal_of(status) == Signals.SIGKILL
        return failed(Cause.OUT_OF_MEMORY if killed else Cause.COMMAND_FAILED, message, index)

    async def _time_out(self, index: int, timeout: timedelta) -> Verdict:
        reason = f"the command exceeded its timeout of {in_words(timeout)}"
        finished = await self._stop(index, None, reason)
        return failed(Cause.COMMAND_TIMED_OUT, reason, index, finished)

    async def _stop(self, index: int, stop: Stop | None, reason: str) -> CommandFinished:
        """End a command: SIGTERM, the grace, SIGKILL. Return what to record once the container is gone."""
        logger.warning("stopping command %d: %s", index, reason)
        await self._signal(index, Signals.SIGTERM, reason)
        status = None
        with suppress(TimeoutError):
            async with asyncio.timeout(self._stop_grace):
                status = await self._session.exit_status(index)
        if status is None:
            # Time is up, or the streams ended without a word: whatever still runs is killed.
            await self._signal(index, Signals.SIGKILL, "it did not report its end after SIGTERM")
            await self._engine_sees_end()
        return CommandFinished(
            command_index=index,
            state=command_state(stop),
            exit_code=status,
            signal=Signals.SIGKILL if status is None else signal_of(status),
            end_time=datetime.now(UTC),
        )

    async def _signal(self, index: int, signal: Signals, reason: str) -> None:
        """Send a signal into the container. What fails here, removing the container makes good."""
        # Not waited for: a log that is locked must not keep a command from being stopped.
        self._journal.note(SignalSent(command_index=index, signal=signal, reason=reason))
        try:
            await self._engine.signal_container(self._container_id, signal.name)
        except EngineError as error:
            logger.warning("%s could not be sent: %s", signal.name, error)

    async def _engine_sees_end(self) -> None:
        """Wait until a killed container has ended, and what it wrote before has come."""
        try:
            state = await self._engine.inspect_ended(self._container_id, SETTLING_TIME)
        except EngineError as error:
            logger.warning("the end of the container could not be seen: %s", error)
        else:
            if state is None or not state.running:
                await self._session.ended()
