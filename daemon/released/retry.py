"""Which commands a release runs that tries an earlier one again. Pure: its record in, commands out."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from released.audit.records import CommandRecord, ReleaseRecord
from released.errors import FailedPrecondition
from released.model.release import Command
from released.model.states import CommandState, ReleaseState

FROM_START = "from the start (from_start; `--from-start`)"

NEVER_BEGUN = (CommandState.PENDING, CommandState.SKIPPED)


def commands_again(
    record: ReleaseRecord, rollbacks: Iterable[ReleaseRecord] = (), *, from_start: bool
) -> tuple[Command, ...] | None:
    """Return the commands of a release as they are to be run again; None if it never was known which.

    `rollbacks` are its rollback and what tried that again, in the order in which they were accepted. All of
    them have ended. Those before the first that has not succeeded, or was undone, are skipped, and say where
    they ran; from the start, only those are that its request had skipped. Raises FailedPrecondition if that
    leaves none, or if nobody can tell what a rollback has left.
    """
    if not record.commands_known:
        return None
    if not record.spec.commands:
        raise _nothing_to_retry(
            "the release had no commands: start a new one, which runs what there is today"
        )
    again = _all_again(record.spec.commands)
    if from_start:
        return again
    if record.state is ReleaseState.SUCCEEDED:
        raise _nothing_left("the release succeeded")
    commands = tuple(_rest(record, _undone(record, rollbacks)))
    if all(command.skip_reason for command in commands):
        raise _nothing_left("all commands of the release have succeeded, or are to be skipped")
    return commands


def _all_again(commands: Iterable[Command]) -> tuple[Command, ...]:
    again = tuple(map(_as_requested, commands))
    if all(command.skip_reason for command in again):
        raise _nothing_to_retry("all commands of the release were to be skipped: start a new one")
    return again


def _as_requested(command: Command) -> Command:
    return msgspec.structs.replace(command, skip_reason="", done_in="") if command.done_in else command


def _undone(record: ReleaseRecord, rollbacks: Iterable[ReleaseRecord]) -> Collection[int]:
    """Return which commands were undone.

    Raises FailedPrecondition if the rollback of one was begun and did not succeed: half undone, it is neither
    to be run again nor to be built upon.
    """
    ends: dict[int, tuple[CommandState, ReleaseRecord]] = {}
    for rollback in rollbacks:
        for index, run in zip(_to_undo(record), rollback.commands, strict=True):
            if run.state not in NEVER_BEGUN:
                ends[index] = run.state, rollback
    for index, (state, rollback) in ends.items():
        if state is not CommandState.SUCCEEDED:
            raise _half_undone(record.spec.commands[index], state, rollback.release_id)
    return ends.keys()


def _to_undo(record: ReleaseRecord) -> Sequence[int]:
    """The commands that the rollback of a release undoes, in the order in which it does: `rollback_spec`."""
    commands = zip(record.spec.commands, record.commands, strict=True)
    undoable = [run.index for command, run in commands if command.rollback and _succeeded(run)]
    return undoable[::-1]


def _succeeded(run: CommandRecord) -> bool:
    return run.state is CommandState.SUCCEEDED


def _rest(record: ReleaseRecord, undone: Collection[int]) -> Iterator[Command]:
    is_past = True
    for command, run in zip(record.spec.commands, record.commands, strict=True):
        is_past = is_past and run.index not in undone and _is_done(record, command, run)
        yield _passed_by(command, run, record.release_id) if is_past else command


def _is_done(record: ReleaseRecord, command: Command, run: CommandRecord) -> bool:
    """Whether the release got past a command: it succeeded, may fail and did, or was to be skipped."""
    if command.skip_reason or _succeeded(run):
        return True
    is_cause = record.failure is not None and record.failure.command_index == run.index
    # One whose end nobody saw has no exit code; one that somebody stopped was not done.
    may_fail = command.allow_failure and run.exit_code is not None and not run.stopped
    return run.state is CommandState.FAILED and may_fail and not is_cause


def _passed_by(command: Command, run: CommandRecord, release_id: str) -> Command:
    if command.skip_reason:
        return command
    how = "it succeeded" if _succeeded(run) else "it failed, as it may,"
    reason = f"{how} in releases/{release_id}"
    return msgspec.structs.replace(command, skip_reason=reason, done_in=release_id)


def _half_undone(command: Command, state: CommandState, rollback_id: str) -> FailedPrecondition:
    name = f"releases/{rollback_id}"
    return FailedPrecondition(
        "ROLLBACK_FAILED",
        f"the rollback of {command.label!r} is {state} in {name}, and nobody knows what it has left: try "
        f"{name} again, or put right by hand what it was to undo and try the release again {FROM_START}",
        {"rollback": name, "state": state},
    )


def _nothing_left(why: str) -> FailedPrecondition:
    return _nothing_to_retry(f"{why}: there is nothing to try again, unless {FROM_START}")


def _nothing_to_retry(message: str) -> FailedPrecondition:
    return FailedPrecondition("NOTHING_TO_RETRY", message)
