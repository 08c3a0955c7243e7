"""What one release writes into the audit log, and where it stands."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Self

import msgspec

from released.audit.log import AuditLog
from released.audit.records import ReleaseRecord
from released.crash import CrashPoint, crash_point
from released.errors import ApplicationError, ResourceExhausted
from released.model.events import (
    Body,
    CommandFinished,
    CommandOutput,
    CommandsResolved,
    CommandStarted,
    NewEvent,
    StateChanged,
)
from released.model.instant import now
from released.model.receipt import Receipt
from released.model.release import Command
from released.model.states import CommandState, IllegalTransition, ReleaseState
from released.release.rolling_back import Prepared, RollBack
from released.release.verdict import Verdict, with_remark

logger = logging.getLogger(__name__)

RECORDING_PAUSE = 1.0
"""Seconds between two attempts to record the end of a release."""


class Journal:
    """Writes one release's events, from QUEUED on, in the order of the calls."""

    def __init__(
        self,
        audit: AuditLog,
        release_id: str,
        commands: tuple[Command, ...],
        masked: Callable[[str], str] = str,
        roll_back: RollBack | None = None,
    ) -> None:
        """`commands` are those that are known; `masked` takes secrets out of somebody's words.

        `roll_back` prepares what is accepted together with a failure; None for what has run nothing.
        """
        self._audit = audit
        self._masked = masked
        self._roll_back = roll_back
        self._release_id = release_id
        self._unfinished = dict.fromkeys(range(len(commands)))
        self._last: asyncio.Future[Receipt] | None = None
        self._error: BaseException | None = None
        self._refused_results: list[CommandFinished] = []
        """What was seen and could not be stored: it is recorded with the end."""
        self.commands = commands
        """What the release runs; of one that takes what its image declares, nothing before that is known."""
        self.running: int | None = None
        """The command that was let go and whose end is not recorded."""
        self.state = ReleaseState.QUEUED

    @classmethod
    def resumed(
        cls,
        audit: AuditLog,
        record: ReleaseRecord,
        masked: Callable[[str], str] = str,
        roll_back: RollBack | None = None,
    ) -> Self:
        """Go on with the journal of a release that was under way when the daemon ended."""
        journal = cls(audit, record.release_id, record.spec.commands, masked, roll_back)
        journal.state = record.state
        for command in record.commands:
            if command.state is CommandState.RUNNING:
                journal.running = command.index
            elif command.state is not CommandState.PENDING:
                del journal._unfinished[command.index]
        return journal

    def note(self, *bodies: Body) -> None:
        """Append events, all or none, without waiting for the disk.

        They are durable before whatever is recorded later; if they can't be stored, the
        next `record` or `noted` says so.
        """
        if not bodies:
            return
        self._last = self._audit.append(self._release_id, *bodies)
        self._last.add_done_callback(partial(self._on_appended, bodies))

    async def noted(self) -> None:
        """Return when everything noted so far is durable. Raises, once, what the log raises."""
        if self._last is not None:
            await asyncio.wait({self._last})
        error, self._error = self._error, None
        if error is not None:
            raise error

    async def record(self, *bodies: Body) -> None:
        """Append events, all or none, and return when they are durable."""
        self.note(*bodies)
        await self.noted()

    def enter(self, state: ReleaseState) -> None:
        """Note that the release reached its next state."""
        self.state.check_transition(state)
        at = now() if state is ReleaseState.PREPARING else None
        self.note(StateChanged(state=state, at=at))
        self.state = state
        logger.info("%s", state.lower())

    async def resolve(self, commands: tuple[Command, ...]) -> None:
        """Record which commands the release runs, now that it is known. Raises what the log raises."""
        # Durable before anything is recorded of them: results may be stored where there is no room for this.
        await self.record(CommandsResolved(commands=commands))

    async def conclude(self, verdict: Verdict, *before: Body) -> None:
        """Record the end in one piece: the command under way, those that never ran, the state.

        `before` are events that belong to that piece and come first. Safe to repeat when it
        raises: nothing is stored then.
        """
        self.state.check_transition(verdict.state)
        if verdict.state is ReleaseState.SUCCEEDED and self._unfinished:
            left = next(iter(self._unfinished))
            raise IllegalTransition(f"a release can't become SUCCEEDED while command {left} has not ended")
        ended = [*self._refused_results, *self._last_command(verdict)]
        indices = {command.command_index for command in ended}
        skipped = [
            CommandFinished(command_index=index, state=CommandState.SKIPPED)
            for index in self._unfinished
            if index not in indices
        ]
        await self._record_end(verdict, [*before, *ended, *skipped], ended)
        crash_point(CrashPoint.END_STORED)
        self.state = verdict.state

    async def _record_end(
        self, verdict: Verdict, before: Sequence[Body], ended: Sequence[CommandFinished]
    ) -> None:
        """Record the end, and with it that the release is rolled back, if it is."""
        rolls_back = verdict.state is ReleaseState.FAILED and any(each.rollback for each in self.commands)
        if self._roll_back is None or not rolls_back:
            return await self._append_end(verdict, before)
        if self._last is not None:  # what is on its way counts
            await asyncio.wait({self._last})
        prepared = Prepared()
        try:
            async with self._roll_back(ended) as prepared:
                told = verdict if prepared.accepting else with_remark(verdict, prepared.remark)
                return await self._append_end(told, before, prepared.accepting)
        except ResourceExhausted as error:
            if not prepared.accepting:
                raise
            logger.error("the release's rollback can't be accepted: %s", error)
        await self._append_end(with_remark(verdict, prepared.remark), before)

    async def _append_end(
        self, verdict: Verdict, before: Sequence[Body], accepted: Sequence[NewEvent] = ()
    ) -> None:
        failure = verdict.failure
        if failure:  # it may be in the engine's words
            failure = msgspec.structs.replace(failure, message=self._masked(failure.message))
        end = StateChanged(state=verdict.state, failure=failure)
        # By itself: what could not be noted before is no reason to record the end twice.
        appended = self._audit.append(self._release_id, *before, end, with_others=accepted)
        await asyncio.wait({appended})
        receipt = appended.result()
        why = f": {failure.cause}: {failure.message}" if failure else ""
        logger.info("%s (receipt %s)%s", verdict.state.lower(), receipt, why)

    def _last_command(self, verdict: Verdict) -> list[CommandFinished]:
        """The command under way: the one that was stopped, or one whose end nobody saw."""
        if verdict.stopped_command:
            return [verdict.stopped_command]
        if self.running is None or self.running in {r.command_index for r in self._refused_results}:
            return []
        unseen = CommandFinished(
            command_index=self.running,
            state=CommandState.FAILED,
            end_time=datetime.now(UTC),
        )
        return [unseen]

    async def conclude_at_last(self, verdict: Verdict, *before: Body) -> None:
        """Record the end, however long the log can't be written: nothing else tells of it."""
        while True:
            try:
                return await self.conclude(verdict, *before)
            except ApplicationError as error:
                logger.error("the end can't be recorded yet: %s", error)
            await asyncio.sleep(RECORDING_PAUSE)

    def append_output(self, output: Sequence[tuple[CommandOutput, bytes]]) -> asyncio.Future[Receipt]:
        """Append what the container wrote; the future is done when it is durable."""
        return self._audit.append_output(self._release_id, output)

    def _on_appended(self, bodies: Sequence[Body], appended: asyncio.Future[Receipt]) -> None:
        if error := appended.exception():
            self._error = self._error or error
            self._refused_results += [body for body in bodies if isinstance(body, CommandFinished)]
            return
        for body in bodies:
            if isinstance(body, CommandsResolved):
                self.commands = body.commands
                self._unfinished = dict.fromkeys(range(len(body.commands)))
            if isinstance(body, CommandStarted):
                self.running = body.command_index
            if isinstance(body, CommandFinished):
                del self._unfinished[body.command_index]
                self.running = None
