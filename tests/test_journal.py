"""What one release writes into the audit log, on a real one."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from released.audit.log import AuditLog
from released.audit.records import ReleaseRecord
from released.errors import ResourceExhausted, Unavailable
from released.model.events import (
    Body,
    CancelRequested,
    CommandFinished,
    CommandOutput,
    CommandsResolved,
    CommandStarted,
    ContainerRemoved,
    NewEvent,
    ReleaseAccepted,
    StateChanged,
)
from released.model.receipt import Receipt
from released.model.states import Cause, CommandState, IllegalTransition, ReleaseState, Stream
from released.release import journal as journal_module
from released.release.journal import Journal
from released.release.masking.masking import Mask
from released.release.rolling_back import Prepared
from released.release.verdict import SUCCEEDED, Stop, Verdict, failed, stopped, stopped_for
from support import audit_log
from support.samples import OTHER_RELEASE, RELEASE, a_spec, accepted

ENDED = datetime(2026, 1, 31, 12, tzinfo=UTC)
COMMANDS = a_spec("a", "b", "c").commands
STARTED = [CommandStarted(command_index=index) for index in range(3)]


def finished(
    index: int, state: CommandState = CommandState.SUCCEEDED, exit_code: int | None = 0
) -> CommandFinished:
    return CommandFinished(command_index=index, state=state, exit_code=exit_code, end_time=ENDED)


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    """A log with a release of three commands."""
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        await audit.append(RELEASE, accepted("a", "b", "c"))
        yield audit


@pytest.fixture
def journal(audit: AuditLog) -> Journal:
    return Journal(audit, RELEASE, COMMANDS)


async def run_to(journal: Journal, state: ReleaseState) -> None:
    for next_state in (ReleaseState.PREPARING, ReleaseState.RUNNING):
        if journal.state is not state:
            journal.enter(next_state)
    await journal.noted()


async def record_of(audit: AuditLog) -> ReleaseRecord:
    record = await audit.query.release(RELEASE)
    assert record is not None
    return record


async def states(audit: AuditLog) -> list[str]:
    record = await record_of(audit)
    return [record.state, *(command.state for command in record.commands)]


async def test_states_follow_each_other_as_far_as_they_are_allowed(audit: AuditLog, journal: Journal) -> None:
    """They are durable when `noted` returns."""
    journal.enter(ReleaseState.PREPARING)
    await journal.noted()
    assert (await states(audit))[0] == "PREPARING"
    journal.enter(ReleaseState.RUNNING)
    await journal.noted()
    assert (await states(audit))[0] == "RUNNING"
    with pytest.raises(IllegalTransition):
        journal.enter(ReleaseState.PREPARING)
    assert (await states(audit))[0] == "RUNNING"


async def test_message_of_a_failure_is_masked(audit: AuditLog, caplog: pytest.LogCaptureFixture) -> None:
    """It may be in somebody else's words. What is stored has no secret, and neither has the daemon's log."""
    caplog.set_level("INFO")
    journal = Journal(audit, RELEASE, COMMANDS, Mask(["correct horse"]).text)
    await run_to(journal, ReleaseState.RUNNING)
    await journal.conclude(failed(Cause.CONTAINER_FAILED, "the engine said: correct horse is wrong"))
    failure = (await record_of(audit)).failure
    assert failure
    assert failure.message == "The engine said: *** is wrong."
    assert "horse" not in caplog.text


async def test_notes_are_durable_with_the_next_record(audit: AuditLog, journal: Journal) -> None:
    """A result needs no commit of its own: it is on the disk when the start of the next command is."""
    await run_to(journal, ReleaseState.RUNNING)
    await journal.record(STARTED[0])
    journal.note(finished(0))
    await journal.record(STARTED[1])
    assert await states(audit) == ["RUNNING", "SUCCEEDED", "RUNNING", "PENDING"]


async def test_note_that_could_not_be_stored_is_told_at_the_next_record(
    audit: AuditLog, journal: Journal
) -> None:
    """Once; after that, the end can be recorded."""
    await run_to(journal, ReleaseState.RUNNING)
    await journal.record(STARTED[0])
    nobody = Journal(audit, "nobody", COMMANDS[:1])
    nobody.note(ReleaseAccepted(spec=accepted("a").spec, request_digest=chr(0xD800)))
    with pytest.raises(Unavailable):
        await nobody.noted()
    await nobody.noted()
    assert nobody.running is None


async def test_release_that_succeeded(audit: AuditLog, journal: Journal) -> None:
    """All commands have ended; only the state is left to say."""
    await run_to(journal, ReleaseState.RUNNING)
    for index in range(3):
        await journal.record(STARTED[index])
        await journal.record(finished(index))
    await journal.conclude(SUCCEEDED)
    assert await states(audit) == ["SUCCEEDED"] * 4
    assert (await audit_log.bodies_of(audit, RELEASE))[-1] == StateChanged(state=ReleaseState.SUCCEEDED)


async def test_commands_after_a_failure_are_skipped(audit: AuditLog, journal: Journal) -> None:
    """In the piece that says how the release ended."""
    await run_to(journal, ReleaseState.RUNNING)
    await journal.record(STARTED[0])
    await journal.record(finished(0, CommandState.FAILED, 1))
    before = audit.head.sequence
    verdict = failed(Cause.COMMAND_FAILED, "it failed", 0)
    await journal.conclude(verdict)
    assert await states(audit) == ["FAILED", "FAILED", "SKIPPED", "SKIPPED"]
    events = await audit.query.events_after(RELEASE, before)
    assert [event.body for event in events] == [
        CommandFinished(command_index=1, state=CommandState.SKIPPED),
        CommandFinished(command_index=2, state=CommandState.SKIPPED),
        StateChanged(state=ReleaseState.FAILED, failure=verdict.failure),
    ]
    assert len({event.time for event in events}) == 1


async def test_command_that_was_stopped_is_reported_with_the_end(audit: AuditLog, journal: Journal) -> None:
    """When its container is gone."""
    await run_to(journal, ReleaseState.RUNNING)
    await journal.record(STARTED[0])
    await journal.record(finished(0))
    await journal.record(STARTED[1])
    last = finished(1, CommandState.CANCELLED, 143)
    await journal.conclude(stopped_for(None, "", last))
    assert await states(audit) == ["CANCELLED", "SUCCEEDED", "CANCELLED", "SKIPPED"]
    assert (await record_of(audit)).commands[1].exit_code == 143


async def test_command_whose_end_nobody_saw_has_failed_without_an_exit_code(
    audit: AuditLog, journal: Journal
) -> None:
    """It is never said to have succeeded."""
    await run_to(journal, ReleaseState.RUNNING)
    await journal.record(STARTED[0])
    await journal.conclude(failed(Cause.ENGINE_LOST, "gone", 0))
    assert await states(audit) == ["FAILED", "FAILED", "SKIPPED", "SKIPPED"]
    command = (await record_of(audit)).commands[0]
    assert (command.exit_code, command.end_time is None) == (None, False)


async def test_release_that_never_started(audit: AuditLog, journal: Journal) -> None:
    """Everything is skipped; what belongs to the end comes first."""
    await journal.conclude(stopped(Stop.CANCELLED), CancelRequested(reason="why"))
    assert await states(audit) == ["CANCELLED", "SKIPPED", "SKIPPED", "SKIPPED"]
    assert (await audit_log.bodies_of(audit, RELEASE))[1] == CancelRequested(reason="why")


async def test_end_is_the_end(audit: AuditLog, journal: Journal) -> None:
    """A second one is a defect, and is not recorded."""
    await journal.conclude(stopped(Stop.CANCELLED))
    last = audit.head.sequence
    with pytest.raises(IllegalTransition):
        await journal.conclude(failed(Cause.INTERRUPTED, "again"))
    assert audit.head.sequence == last


@pytest.mark.parametrize("state", [ReleaseState.PREPARING, ReleaseState.RUNNING])
async def test_release_can_only_succeed_when_all_has_ended(journal: Journal, state: ReleaseState) -> None:
    """Nothing that was to be run is left out: that would be a defect."""
    await run_to(journal, state)
    ended = (CommandState.SKIPPED, CommandState.FAILED)
    await journal.record(*(CommandFinished(command_index=i, state=each) for i, each in enumerate(ended)))
    with pytest.raises(IllegalTransition, match="while command 2 has not ended"):
        await journal.conclude(SUCCEEDED)
    await journal.record(CommandFinished(command_index=2, state=CommandState.SUCCEEDED))
    await journal.conclude(SUCCEEDED)
    assert journal.state is ReleaseState.SUCCEEDED


async def test_cancelled_record_is_written_all_the_same(audit: AuditLog, journal: Journal) -> None:
    """The intent comes before the effect, and stays."""
    await run_to(journal, ReleaseState.RUNNING)
    recording = asyncio.create_task(journal.record(STARTED[0]))
    await asyncio.sleep(0)
    recording.cancel()
    await asyncio.wait({recording})
    assert (await audit.append(RELEASE, CancelRequested())).sequence == 5
    assert await states(audit) == ["RUNNING", "RUNNING", "PENDING", "PENDING"]


async def test_output_is_appended_in_one_piece(audit: AuditLog, journal: Journal) -> None:
    """With its bytes."""
    body = CommandOutput(stream=Stream.STDERR, command_index=0)
    assert (await journal.append_output([(body, b"a"), (body, b"b")])).sequence == 3
    events = await audit_log.events_of(audit, RELEASE)
    assert [(event.body, event.output) for event in events[1:]] == [(body, b"a"), (body, b"b")]


async def test_journal_is_taken_up_where_it_ended(audit: AuditLog, journal: Journal) -> None:
    """After a restart: what has ended stays, what ran was not seen to end, the rest is skipped."""
    await run_to(journal, ReleaseState.RUNNING)
    await journal.record(STARTED[0])
    await journal.record(finished(0))
    await journal.record(STARTED[1])
    resumed = Journal.resumed(audit, await record_of(audit))
    assert resumed.state is ReleaseState.RUNNING
    await resumed.conclude(failed(Cause.INTERRUPTED, "the daemon was interrupted", 1))
    assert await states(audit) == ["FAILED", "SUCCEEDED", "FAILED", "SKIPPED"]


class ReluctantLog:
    """A log that can't be written at first."""

    def __init__(self, audit: AuditLog, failures: int) -> None:
        self._audit = audit
        self.failures = failures

    def append(
        self, release_id: str, *bodies: Body, with_others: Sequence[NewEvent] = ()
    ) -> asyncio.Future[Receipt]:
        if self.failures == 0:
            return self._audit.append(release_id, *bodies, with_others=with_others)
        self.failures -= 1
        refused: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        refused.set_exception(ResourceExhausted("AUDIT_DISK_FULL", "no room"))
        return refused


async def test_an_end_is_recorded_at_last(audit: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often that fails: nothing else tells of it. It is recorded once, and whole."""
    monkeypatch.setattr(journal_module, "RECORDING_PAUSE", 0)
    log = ReluctantLog(audit, 0)
    journal = Journal(log, RELEASE, COMMANDS)  # type: ignore[arg-type]
    await run_to(journal, ReleaseState.RUNNING)
    await journal.record(STARTED[0])
    log.failures = 3
    await journal.conclude_at_last(
        failed(Cause.INTERRUPTED, "no room", 0), ContainerRemoved(container_id="c")
    )
    assert log.failures == 0
    assert await states(audit) == ["FAILED", "FAILED", "SKIPPED", "SKIPPED"]
    bodies = await audit_log.bodies_of(audit, RELEASE)
    assert [type(body) for body in bodies].count(ContainerRemoved) == 1
    assert [type(body) for body in bodies].count(StateChanged) == 3


async def test_commands_that_could_not_be_recorded_are_none_of_the_release(audit: AuditLog) -> None:
    """Nothing is recorded of them, either; once they are, those that never ran are skipped."""
    log = ReluctantLog(audit, 0)
    journal = Journal(log, OTHER_RELEASE, ())  # type: ignore[arg-type]
    await audit.append(OTHER_RELEASE, ReleaseAccepted(spec=a_spec(settings=())))
    log.failures = 1
    with pytest.raises(ResourceExhausted):
        await journal.resolve(COMMANDS)
    assert journal.commands == ()
    await journal.resolve(COMMANDS[:1])
    assert journal.commands == COMMANDS[:1]
    await journal.conclude(stopped(Stop.CANCELLED))
    assert [type(body) for body in await audit_log.bodies_of(audit, OTHER_RELEASE)] == [
        ReleaseAccepted,
        CommandsResolved,
        CommandFinished,
        StateChanged,
    ]


class Rollback:
    """A rollback that is ready to be accepted."""

    def __init__(self, *events: NewEvent, remark: str = "") -> None:
        self._events = events
        self._remark = remark
        self.seen: list[Sequence[CommandFinished]] = []
        self.errors: list[Exception] = []

    @asynccontextmanager
    async def prepare(self, seen: Sequence[CommandFinished]) -> AsyncIterator[Prepared]:
        self.seen.append(seen)
        try:
            yield Prepared(self._events, self._remark)
        except Exception as error:
            self.errors.append(error)
            raise


UNDOABLE = tuple(msgspec.structs.replace(command, rollback="undo") for command in COMMANDS)


def with_rollback(log: object, rollback: Rollback) -> Journal:
    return Journal(log, RELEASE, UNDOABLE, roll_back=rollback.prepare)  # type: ignore[arg-type]


async def test_rollback_is_accepted_together_with_a_failure(audit: AuditLog) -> None:
    """All or nothing; it is told what ended and is not recorded yet."""
    rollback = Rollback(NewEvent(OTHER_RELEASE, accepted("undo", rollback_of=RELEASE)))
    journal = with_rollback(audit, rollback)
    await run_to(journal, ReleaseState.RUNNING)
    await journal.record(STARTED[0])
    await journal.conclude(failed(Cause.INTERRUPTED, "gone", 0))
    assert [[each.state for each in seen] for seen in rollback.seen] == [[CommandState.FAILED]]
    record = await audit.query.release(RELEASE)
    assert record is not None
    assert (record.state, record.rollback) == (ReleaseState.FAILED, OTHER_RELEASE)
    assert record.receipt == audit.head
    assert (await audit.verify()).problems == []


@pytest.mark.parametrize("verdict", [SUCCEEDED, stopped(Stop.CANCELLED)])
async def test_only_a_failure_is_rolled_back(audit: AuditLog, verdict: Verdict) -> None:
    """Nothing is even prepared otherwise."""
    rollback = Rollback()
    journal = with_rollback(audit, rollback)
    await run_to(journal, ReleaseState.RUNNING)
    ended = [CommandFinished(command_index=index, state=CommandState.SUCCEEDED) for index in range(3)]
    await journal.record(*ended)
    await journal.conclude(verdict)
    assert rollback.seen == []


async def test_end_is_recorded_alone_where_there_is_room_for_no_more(audit: AuditLog) -> None:
    """The message says that the rollback was not accepted, and how to have it."""
    log = ReluctantLog(audit, 0)
    event = NewEvent(OTHER_RELEASE, accepted("undo", rollback_of=RELEASE))
    rollback = Rollback(event, remark="No room: undo it by hand.")
    journal = with_rollback(log, rollback)
    await run_to(journal, ReleaseState.RUNNING)
    log.failures = 1
    await journal.conclude(failed(Cause.COMMAND_FAILED, "it failed"))
    record = await audit.query.release(RELEASE)
    assert record is not None
    assert record.failure is not None
    assert (record.rollback, record.failure.message) == ("", "It failed. No room: undo it by hand.")
    assert [type(error) for error in rollback.errors] == [ResourceExhausted]


async def test_what_can_t_be_undone_by_itself_is_said(audit: AuditLog) -> None:
    """With the end; nothing is accepted."""
    journal = with_rollback(audit, Rollback(remark="The values are lost."))
    await run_to(journal, ReleaseState.RUNNING)
    await journal.conclude(failed(Cause.COMMAND_FAILED, "it failed"))
    record = await audit.query.release(RELEASE)
    assert record is not None
    assert record.failure is not None
    assert (record.rollback, record.failure.message) == ("", "It failed. The values are lost.")


async def test_end_says_nothing_of_a_rollback_that_is_accepted(audit: AuditLog) -> None:
    """Its remark is for the case that there is no room for it."""
    event = NewEvent(OTHER_RELEASE, accepted("undo", rollback_of=RELEASE))
    journal = with_rollback(audit, Rollback(event, remark="No room: undo it by hand."))
    await run_to(journal, ReleaseState.RUNNING)
    await journal.conclude(failed(Cause.COMMAND_FAILED, "it failed"))
    record = await audit.query.release(RELEASE)
    assert record is not None
    assert record.failure is not None
    assert (record.rollback, record.failure.message) == (OTHER_RELEASE, "It failed.")


async def test_end_waits_for_room_where_there_is_nothing_to_undo(audit: AuditLog) -> None:
    """Nothing is said of a rollback then."""
    log = ReluctantLog(audit, 0)
    journal = with_rollback(log, Rollback())
    await run_to(journal, ReleaseState.RUNNING)
    log.failures = 1
    with pytest.raises(ResourceExhausted):
        await journal.conclude(failed(Cause.COMMAND_FAILED, "it failed"))
    await journal.conclude(failed(Cause.COMMAND_FAILED, "it failed"))
    record = await audit.query.release(RELEASE)
    assert record is not None
    assert record.failure is not None
    assert record.failure.message == "It failed."
