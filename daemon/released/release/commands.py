"""Running one release's commands: one gate after the other, each until its exit or its timeout."""

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from signal import Signals
from typing import Protocol

from released.crash import CrashPoint, crash_point
from released.engine.engine import FoundContainer
from released.engine.errors import EngineError
from released.model.durations import in_words
from released.model.events import CommandFinished, CommandStarted, SignalSent
from released.model.instant import now
from released.model.release import Command
from released.model.states import Cause, CommandState, ContainerMode
from released.release.context import ReleaseContext
from released.release.endings import SETTLING_TIME, how_it_ended, leaves
from released.release.session import CommandEnd
from released.release.standing import Running, Stopping, fails_release
from released.release.stopping import Stopped
from released.release.verdict import (
    Concluded,
    Verdict,
    command_state,
    explain_exit,
    failed,
    signal_of,
    stopped_for,
)

logger = logging.getLogger(__name__)

ZERO = timedelta()

CATCHING_UP_TIME = timedelta(minutes=2)
"""What reading the engine's log may take, also for a command whose time is up: it may have ended in time."""

NOT_FOUND = 127
"""The exit code of what is not there, /bin/sh among it."""

NO_SHELL_TO_UNDO = (
    "; a rollback is a line for /bin/sh, also that of a program: if the image has none, undo by hand what "
    "the release did"
)

STOPPED_BY_OTHERS = "SIGTERM came for the container while the command ran, and not from this daemon"


class Dialogue(Protocol):
    """How commands are let go in a container, and how their ends are heard of (see Session)."""

    async def caught_up(self) -> None: ...
    async def open_gate(self, command_index: int) -> None: ...
    async def end_of(self, command_index: int) -> CommandEnd | None: ...
    async def ended(self) -> None: ...
    def known_end(self, command_index: int) -> CommandEnd | None: ...
    def has_started(self, command_index: int) -> bool: ...


class CommandRunner:
    """Runs commands in a container that is ready for them."""

    def __init__(self, context: ReleaseContext, dialogue: Dialogue, container: FoundContainer) -> None:
        self._context = context
        self._container_id = container.container_id
        self._ended_with_engine = context.engine_was_away and container.started and not container.running
        """Whether the container had ended when the engine came back: nobody else will have ended it."""
        self._dialogue = dialogue
        self._engine = context.engine
        self._stop_grace = timedelta(seconds=context.config.releases.stop_grace)
        self._journal = context.journal
        self._switch = context.switch
        self._is_open = False
        """Whether the command under way may have been let go, though its start was not seen."""

    async def run(self, index: int, command: Command, running: Running | None = None) -> None:
        """Run one command to its end, or go on with it; raise Concluded unless the release goes on then."""
        self._is_open = False
        if running is None:
            await self._record_start(index, command)
        else:
            await self._catch_up(command.timeout - running.since.elapsed())
        if running and running.stopping:
            raise Concluded(await self._go_on_stopping(index, running.stopping))
        end = self._dialogue.known_end(index)
        if end is None:
            end = await self._await_end(index, command, running)
        crash_point(CrashPoint.COMMAND_ENDED)
        if running and (late := _lateness(end, command.timeout, running)) > ZERO:
            raise Concluded(self._ended_late(index, end, command.timeout, late))
        finished = await self._finish(index, end)
        if fails_release(finished, command):
            raise Concluded(await explain_failure(self._context, finished, self._ended_with_engine))

    async def _catch_up(self, left: timedelta) -> None:
        """Read what happened meanwhile, but not for ever: if that fails, the command may have been let go."""
        try:
            try:
                await self._switch.guard(self._dialogue.caught_up(), max(left, CATCHING_UP_TIME))
            except Stopped:  # how it is to be stopped, the log has to say
                async with asyncio.timeout(SETTLING_TIME.total_seconds()):
                    await self._dialogue.caught_up()
        except TimeoutError:
            self._is_open = True
        self._context.reconnection.settled()

    async def _record_start(self, index: int, command: Command) -> None:
        self._switch.check()
        # Durable before it is let go: after a crash, no start recorded means not started.
        await self._journal.record(CommandStarted(command_index=index, at=now()))
        self._context.reconnection.settled()
        crash_point(CrashPoint.COMMAND_RECORDED)
        logger.info("command %d (%s) started", index, command.label)

    async def _await_end(self, index: int, command: Command, running: Running | None) -> CommandEnd:
        """Let the command go, if that has not been done, and wait for its end, for a stop, or its timeout."""
        timeout = command.timeout
        left = timeout - running.since.elapsed() if running else timeout
        if left <= ZERO and not self._may_run(index):
            raise Concluded(_never_let_go(index, timeout))
        try:
            with self._context.pace.watching(index, command.label, running):
                return await self._switch.guard(self._end_of(index), max(left, ZERO))
        except TimeoutError:
            reason = f"the command exceeded its timeout of {in_words(timeout)}"
            if left < ZERO:
                reason += f"; the daemon was away then and stopped it {in_words(-left)} later"
            cause: Cause | None = Cause.COMMAND_TIMED_OUT
        except Stopped as error:
            reason, cause = error.stop.value, error.stop.cause
            if not self._may_run(index):
                raise Concluded(stopped_for(cause, reason, _not_let_go(index, cause))) from None
        raise Concluded(stopped_for(cause, reason, await self._stop(index, cause, reason)))

    def _may_run(self, index: int) -> bool:
        return self._is_open or self._dialogue.has_started(index)

    async def _end_of(self, index: int) -> CommandEnd:
        """Open the gate and return the command's end; raise Concluded if it can't be known."""
        if not self._may_run(index):
            self._switch.check()
            self._is_open = True
            await self._dialogue.open_gate(index)
            crash_point(CrashPoint.COMMAND_LET_GO)
        end = await self._dialogue.end_of(index)
        if end is None:
            ending = await how_it_ended(self._engine, self._container_id)
            await self._dialogue.ended()
            engine_lost = self._ended_with_engine or (ending.was_killed and await leaves(self._engine))
            cause = Cause.ENGINE_LOST if engine_lost else ending.cause
            raise Concluded(failed(cause, f"{ending.message} while the command ran", index))
        return end

    async def _finish(self, index: int, end: CommandEnd) -> CommandFinished:
        is_failure = end.status != 0 or end.stopped
        finished = CommandFinished(
            command_index=index,
            state=CommandState.FAILED if is_failure else CommandState.SUCCEEDED,
            exit_code=end.status,
            signal=signal_of(end.status),
            end_time=end.time or datetime.now(UTC),
            stopped=end.stopped,
        )
        await self._context.recorder.flush()
        # Durable together with the start of the next command, or before the container goes.
        self._journal.note(finished)
        logger.info("command %d ended with exit code %d", index, end.status)
        return finished

    def _ended_late(self, index: int, end: CommandEnd, timeout: timedelta, late: timedelta) -> Verdict:
        reason = (
            f"the command exceeded its timeout of {in_words(timeout)} by {in_words(late)}: the daemon was "
            f"away and could not stop it; it ended by itself with exit code {end.status}"
        )
        finished = CommandFinished(
            command_index=index,
            state=CommandState.TIMED_OUT,
            exit_code=end.status,
            signal=signal_of(end.status),
            end_time=end.time,
        )
        return stopped_for(Cause.COMMAND_TIMED_OUT, reason, finished)

    async def _go_on_stopping(self, index: int, stopping: Stopping) -> Verdict:
        """Bring to its end what the daemon had begun before it went away; the grace counts from then."""
        finished = await self._stop(index, stopping.cause, stopping.reason, stopping)
        return stopped_for(stopping.cause, stopping.reason, finished)

    async def _stop(
        self, index: int, cause: Cause | None, reason: str, begun: Stopping | None = None
    ) -> CommandFinished:
        """End a command: SIGTERM, the grace, SIGKILL. Return what to record once the container is gone."""
        logger.warning("stopping command %d: %s", index, reason)
        grace = max(ZERO, self._stop_grace - (begun.since.elapsed() if begun else ZERO))
        end = self._dialogue.known_end(index)
        if end is None and grace:
            await self._signal(index, Signals.SIGTERM, reason, cause)
            with suppress(TimeoutError):
                async with asyncio.timeout(grace.total_seconds()):
                    end = await self._dialogue.end_of(index)
        if end is None:
            # Time is up, or the streams ended without a word: whatever still runs is killed.
            await self._signal(index, Signals.SIGKILL, "it did not report its end after SIGTERM", cause)
            await self._engine_sees_end()
        return CommandFinished(
            command_index=index,
            state=command_state(cause),
            exit_code=end.status if end else None,
            signal=signal_of(end.status) if end else Signals.SIGKILL,
            end_time=end.time if end and end.time else datetime.now(UTC),
        )

    async def _signal(self, index: int, signal: Signals, reason: str, cause: Cause | None) -> None:
        """Send a signal into the container. What fails here, removing the container makes good."""
        sent = SignalSent(command_index=index, signal=signal, reason=reason, cause=cause, at=now())
        # Not waited for: a log that is locked must not keep a command from being stopped.
        self._journal.note(sent)
        crash_point(CrashPoint.STOP_RECORDED)
        try:
            await self._engine.signal_container(self._container_id, signal.name)
        except EngineError as error:
            logger.warning("%s could not be sent: %s", signal.name, error)
            self._context.troubles.report(
                self._context.release_id, f"{signal.name} could not be sent: {error}"
            )
        crash_point(CrashPoint.STOP_KILLED if signal is Signals.SIGKILL else CrashPoint.STOP_SIGNALLED)

    async def _engine_sees_end(self) -> None:
        """Wait until a killed container has ended, and what it wrote before has come."""
        try:
            state = await self._engine.inspect_ended(self._container_id, SETTLING_TIME)
        except EngineError as error:
            logger.warning("the end of the container could not be seen: %s", error)
        else:
            if state is None or not state.running:
                await self._dialogue.ended()


def _never_let_go(index: int, timeout: timedelta) -> Verdict:
    """The verdict on a command whose time was up before the daemon came back to let it go."""
    reason = (
        f"the command's timeout of {in_words(timeout)} was over before it was let go: the daemon was away"
    )
    cause = Cause.COMMAND_TIMED_OUT
    return stopped_for(cause, reason, _not_let_go(index, cause))


def _not_let_go(index: int, cause: Cause | None) -> CommandFinished:
    """What is recorded of a command that was going to be let go, and was not."""
    return CommandFinished(command_index=index, state=command_state(cause), end_time=datetime.now(UTC))


async def explain_failure(
    context: ReleaseContext, finished: CommandFinished, ended_with_engine: bool
) -> Verdict:
    """Return the verdict on a command that failed its release.

    `ended_with_engine`: if its container was stopped, the engine had gone away then.
    """
    index, status = finished.command_index, finished.exit_code
    if finished.stopped or not status:  # of a success that was stopped, earlier versions say no more
        return await _explain_stop(context, finished, ended_with_engine)
    message = explain_exit(status)
    is_separate = context.spec.container_mode is ContainerMode.PER_COMMAND
    if status == NOT_FOUND and is_separate and context.spec.rollback_of:
        message += NO_SHELL_TO_UNDO
    if not await _ran_out_of_memory(context):
        return failed(Cause.COMMAND_FAILED, message, index)
    message += "; the kernel killed a process of the container because it was out of memory"
    # It may have been a process of an earlier command, or one that this command could do without.
    killed = signal_of(status) == Signals.SIGKILL
    return failed(Cause.OUT_OF_MEMORY if killed else Cause.COMMAND_FAILED, message, index)


async def _explain_stop(
    context: ReleaseContext, finished: CommandFinished, ended_with_engine: bool
) -> Verdict:
    """Tell a container that somebody stopped from an engine that stopped it because it is going down."""
    message = f"{STOPPED_BY_OTHERS}; it ended with exit code {finished.exit_code}"
    if ended_with_engine or await leaves(context.engine):
        return failed(Cause.ENGINE_LOST, f"the engine went down: {message}", finished.command_index)
    return failed(Cause.CONTAINER_FAILED, message, finished.command_index)


async def _ran_out_of_memory(context: ReleaseContext) -> bool:
    """Whether a container of the release did; the supervisor ends with the first command that fails."""
    try:
        for container_id in await context.engine.containers_of(context.release_id):
            state = await context.engine.inspect_ended(container_id, SETTLING_TIME)
            if state and state.out_of_memory:
                return True
    except EngineError as error:
        logger.warning("whether the container ran out of memory is not known: %s", error)
    return False


def _lateness(end: CommandEnd, timeout: timedelta, running: Running) -> timedelta:
    """By how much a command exceeded its timeout that ended while the daemon was away; may be negative.

    By both clocks: the end is known by the wall's, which may have been set meanwhile, and the
    other one only tells when it must have come.
    """
    lasted = running.since.elapsed()
    if end.time:
        lasted = min(lasted, end.time - running.since.time)
    return lasted - timeout
