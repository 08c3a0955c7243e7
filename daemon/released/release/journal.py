"""What one release writes into the audit log, and where it stands."""

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from released.audit.log import AuditLog
from released.audit.records import ReleaseRecord
from released.model.events import Body, CommandFinished, CommandOutput, CommandStarted, StateChanged
from released.model.states import CommandState, ReleaseState
from released.release.verdict import Verdict

logger = logging.getLogger(__name__)


class Journal:
    """Writes one release's events, from QUEUED on. What it returns from is durable."""

    def __init__(self, audit: AuditLog, release_id: str, command_count: int) -> None:
        self._audit = audit
        self._release_id = release_id
        self._unfinished = dict.fromkeys(range(command_count))
        self._running: int | None = None
        self.state = ReleaseState.QUEUED

    @classmethod
    def resumed(cls, audit: AuditLog, record: ReleaseRecord) -> Self:
        """Go on with the journal of a release that was under way when the daemon ended."""
        journal = cls(audit, record.release_id, len(record.commands))
        journal.state = record.state
        for command in record.commands:
            if command.state is CommandState.RUNNING:
                journal._running = command.index
            elif command.state is not CommandState.PENDING:
                del journal._unfinished[command.index]
        return journal

    async def record(self, *bodies: Body) -> None:
        """Append events, all or none."""
        await asyncio.shield(self._audit.append(self._release_id, *bodies))
        for body in bodies:
            if isinstance(body, CommandStarted):
                self._running = body.command_index
            if isinstance(body, CommandFinished):
                self._unfinished.pop(body.command_index)
                self._running = None

    async def enter(self, state: ReleaseState) -> None:
        """Record that the release reached its next state."""
        self.state.check_transition(state)
        await self.record(StateChanged(state=state))
        self.state = state
        logger.info("%s", state.lower())

    async def conclude(self, verdict: Verdict, *before: Body) -> None:
        """Record the end in one piece: the command under way, those that never ran, the state.

        `before` are events that belong to that piece and come first.
        """
        self.state.check_transition(verdict.state)
        last = verdict.stopped_command
        if last is None and self._running is not None:
            # Nobody saw how it ended.
            last = CommandFinished(
                command_index=self._running,
                state=CommandState.FAILED,
                end_time=datetime.now(UTC),
            )
        skipped = [
            CommandFinished(command_index=index, state=CommandState.SKIPPED)
            for index in self._unfinished
            if last is None or index != last.command_index
        ]
        end = StateChanged(state=verdict.state, failure=verdict.failure)
        await self.record(*before, *([last] if last else []), *skipped, end)
        self.state = verdict.state
        failure = f": {verdict.failure.cause}: {verdict.failure.message}" if verdict.failure else ""
        logger.info("%s%s", verdict.state.lower(), failure)

    def append_output(self, output: Sequence[tuple[CommandOutput, bytes]]) -> asyncio.Future[int]:
        """Append what the container wrote; the future is done when it is durable."""
        return self._audit.append_output(self._release_id, output)
