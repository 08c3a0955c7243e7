"""Which commands a release runs that tries an earlier one again. Pure: its record in, commands out."""

from collections.abc import Iterator

import msgspec

from released.audit.records import CommandRecord, ReleaseRecord
from released.errors import FailedPrecondition
from released.model.release import Command
from released.model.states import CommandState, ReleaseState


def check_can_be_tried(record: ReleaseRecord, *, from_start: bool) -> None:
    """Raise FailedPrecondition for a release that goes on, or has succeeded, unless from_start."""
    if not record.state.is_terminal:
        message = f"the release is {record.state}: it can be tried again when it has ended"
        raise FailedPrecondition("RELEASE_NOT_ENDED", message, {"state": record.state})
    if record.state is ReleaseState.SUCCEEDED and not from_start:
        raise _nothing_left("the release succeeded")


def commands_again(record: ReleaseRecord, *, from_start: bool) -> tuple[Command, ...] | None:
    """Return the commands of a release as they are to be run again; None if it never was known which.

    Those before the first that has not succeeded are skipped, and say where they ran; from the start,
    only those are that its request had skipped. Raises FailedPrecondition if that leaves none.
    """
    if not (record.commands_known and record.spec.commands):
        return None
    commands = tuple(map(_as_requested, record.spec.commands) if from_start else _rest(record))
    if all(command.skip_reason for command in commands):
        raise _nothing_left("all commands of the release have succeeded, or are to be skipped")
    return commands


def _as_requested(command: Command) -> Command:
    return msgspec.structs.replace(command, skip_reason="", done_in="") if command.done_in else command


def _rest(record: ReleaseRecord) -> Iterator[Command]:
    is_past = True
    for command, run in zip(record.spec.commands, record.commands, strict=True):
        is_past = is_past and _is_done(record, command, run)
        yield _passed_by(command, run, record.release_id) if is_past else command


def _is_done(record: ReleaseRecord, command: Command, run: CommandRecord) -> bool:
    """Whether the release got past a command: it succeeded, may fail and did, or was to be skipped.

    What was undone afterwards is to be done again.
    """
    if command.skip_reason:
        return True
    if run.state is CommandState.SUCCEEDED:
        return not (record.rollback and command.rollback)
    is_cause = record.failure is not None and record.failure.command_index == run.index
    # One whose end nobody saw has no exit code; one that somebody stopped was not done.
    may_fail = command.allow_failure and run.exit_code is not None and not run.stopped
    return run.state is CommandState.FAILED and may_fail and not is_cause


def _passed_by(command: Command, run: CommandRecord, release_id: str) -> Command:
    if command.skip_reason:
        return command
    how = "it succeeded" if run.state is CommandState.SUCCEEDED else "it failed, as it may,"
    reason = f"{how} in releases/{release_id}"
    return msgspec.structs.replace(command, skip_reason=reason, done_in=release_id)


def _nothing_left(why: str) -> FailedPrecondition:
    message = f"{why}: there is nothing to try again, unless from the start (from_start; `--from-start`)"
    return FailedPrecondition("NOTHING_TO_RETRY", message)
