"""Which commands a retry runs, of releases that have ended in any way."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.audit.records import ReleaseRecord
from released.errors import FailedPrecondition
from released.model.release import Command
from released.model.states import CommandState, ReleaseState, Source
from released.retry import commands_again
from support.records import a_record, a_run
from support.samples import OTHER_RELEASE, RELEASE, a_command

S, F, T, C, SKIPPED = (
    CommandState.SUCCEEDED,
    CommandState.FAILED,
    CommandState.TIMED_OUT,
    CommandState.CANCELLED,
    CommandState.SKIPPED,
)

HERE = f"it succeeded in releases/{RELEASE}"


def ended(
    *states: CommandState, skipped: Sequence[int] = (), may_fail: Sequence[int] = (), **fields: Any
) -> ReleaseRecord:
    """A release that has failed; some of its commands were to be skipped, or may fail."""
    commands = tuple(
        a_command(
            f"command {index}",
            skip_reason="by hand" if index in skipped else "",
            allow_failure=index in may_fail,
            source=Source.IMAGE,
        )
        for index in range(len(states))
    )
    return a_record(commands, states, **fields)


def reasons(record: ReleaseRecord, *, from_start: bool = False) -> list[str]:
    commands = commands_again(record, from_start=from_start)
    assert commands is not None
    return [command.skip_reason for command in commands]


def test_what_succeeded_is_skipped_up_to_what_did_not() -> None:
    """It says where it ran."""
    assert reasons(ended(S, S, F, SKIPPED)) == [HERE, HERE, "", ""]
    assert reasons(ended(F, SKIPPED)) == ["", ""]


@pytest.mark.parametrize("state", [T, C, SKIPPED])
def test_what_never_came_to_its_end_runs_again(state: CommandState) -> None:
    """Timed out, cancelled, or never begun."""
    assert reasons(ended(S, state)) == [HERE, ""]


def test_failure_that_is_allowed_counts_as_done() -> None:
    """Unless the release has failed for it: it was stopped, or nobody saw its end."""
    record = ended(F, F, may_fail=[0])
    assert reasons(record) == [f"it failed, as it may, in releases/{RELEASE}", ""]
    assert reasons(ended(F, SKIPPED, may_fail=[0], failed_index=0)) == ["", ""]
    assert reasons(a_record(record.spec.commands, (F, SKIPPED), unseen=[0])) == ["", ""]


def test_what_may_fail_and_was_stopped_runs_again() -> None:
    """Somebody else did that, and the release could not go on; it need not have failed for it."""
    record = ended(F, SKIPPED, may_fail=[0])
    stopped = replace(record.commands[0], stopped=True)
    assert reasons(replace(record, commands=(stopped, record.commands[1]))) == ["", ""]


def test_what_was_to_be_skipped_stays_so() -> None:
    """With its own reason, be it before or behind what failed."""
    assert reasons(ended(SKIPPED, F, SKIPPED, skipped=[0, 2])) == ["by hand", "", "by hand"]


def rollback(*states: CommandState) -> ReleaseRecord:
    """A rollback whose commands ended like this."""
    return a_record(tuple(a_command(f"undo {index}") for index in range(len(states))), states)


UNDOABLE = tuple(a_command(label, rollback="undo" if label in "bc" else "") for label in "abcd")
"""Of four commands the second and the third can be undone, the third one first."""


@pytest.mark.parametrize(
    ("rollbacks", "again"),
    [
        ([], [HERE, HERE, HERE, ""]),
        ([(S, S)], [HERE, "", "", ""]),
        ([(SKIPPED, SKIPPED)], [HERE, HERE, HERE, ""]),
        ([(S, SKIPPED)], [HERE, HERE, "", ""]),
        ([(S, F), (SKIPPED, S)], [HERE, "", "", ""]),
        ([(F, SKIPPED), (S, SKIPPED)], [HERE, HERE, "", ""]),
        ([(S, F), (SKIPPED, SKIPPED), (SKIPPED, S)], [HERE, "", "", ""]),
    ],
)
def test_what_was_undone_is_done_again(rollbacks: list[tuple[CommandState, ...]], again: list[str]) -> None:
    """And what came behind it, in the old order; what no rollback was begun of stays done."""
    record = a_record(UNDOABLE, (S, S, S, F))
    commands = commands_again(record, [rollback(*states) for states in rollbacks], from_start=False)
    assert commands is not None
    assert [command.skip_reason for command in commands] == again


@pytest.mark.parametrize("state", [F, T, C])
def test_what_is_half_undone_is_neither_done_again_nor_built_upon(state: CommandState) -> None:
    """Nobody knows what it has left; from the start, somebody says that it may all run."""
    record = a_record(UNDOABLE, (S, S, S, F))
    rollbacks = [rollback(S, state), rollback(SKIPPED, SKIPPED)]
    with pytest.raises(FailedPrecondition, match="the rollback of 'b' is") as refused:
        commands_again(record, rollbacks, from_start=False)
    assert refused.value.reason == "ROLLBACK_FAILED"
    assert refused.value.message.endswith("again from the start (from_start; `--from-start`)")
    assert refused.value.metadata == {"rollback": f"releases/{RELEASE}", "state": state}
    again = commands_again(record, rollbacks, from_start=True)
    assert again == UNDOABLE


def test_from_the_start_everything_runs_that_the_request_wanted() -> None:
    """What an earlier retry skipped, too."""
    again = commands_again(ended(SKIPPED, S, F, skipped=[0]), from_start=False)
    assert again is not None
    record = a_record(again, (SKIPPED, SKIPPED, F))
    assert reasons(record, from_start=True) == ["by hand", "", ""]


def test_chain_names_the_release_in_which_it_ran() -> None:
    """Not the one that skipped it for that."""
    first = commands_again(ended(S, F, SKIPPED), from_start=False)
    assert first is not None
    second = a_record(first, (SKIPPED, S, F), release_id=OTHER_RELEASE)
    assert reasons(second) == [HERE, f"it succeeded in releases/{OTHER_RELEASE}", ""]


@pytest.mark.parametrize("from_start", [False, True])
def test_commands_that_never_were_known(from_start: bool) -> None:
    """They are found out by the retry."""
    assert commands_again(a_record((), (), known=False), from_start=from_start) is None


@pytest.mark.parametrize("from_start", [False, True])
def test_release_without_commands_does_not_get_those_of_today(from_start: bool) -> None:
    """One of an earlier version, whose request named none, or of an image and settings that had none."""
    record = a_record((), (), state=ReleaseState.SUCCEEDED)
    with pytest.raises(FailedPrecondition, match="had no commands: start a new one") as refused:
        commands_again(record, from_start=from_start)
    assert refused.value.reason == "NOTHING_TO_RETRY"


def test_nothing_left() -> None:
    """It failed behind its last command, say: there is nothing that a retry could do."""
    with pytest.raises(FailedPrecondition, match="nothing to try again, unless from the start") as refused:
        commands_again(ended(S, S), from_start=False)
    assert refused.value.reason == "NOTHING_TO_RETRY"
    assert reasons(ended(S, S), from_start=True) == ["", ""]


@pytest.mark.parametrize("from_start", [False, True])
def test_release_that_was_to_run_nothing(from_start: bool) -> None:
    """It is not sent to the start, where there is nothing to run either."""
    record = ended(SKIPPED, skipped=[0], state=ReleaseState.SUCCEEDED)
    with pytest.raises(FailedPrecondition, match="were to be skipped: start a new one") as refused:
        commands_again(record, from_start=from_start)
    assert refused.value.reason == "NOTHING_TO_RETRY"


@pytest.mark.parametrize(
    ("state", "from_start", "reason"),
    [
        (ReleaseState.SUCCEEDED, False, "NOTHING_TO_RETRY"),
        (ReleaseState.SUCCEEDED, True, ""),
        (ReleaseState.FAILED, False, ""),
        (ReleaseState.CANCELLED, False, ""),
    ],
)
def test_which_releases_can_be_tried_again(state: ReleaseState, from_start: bool, reason: str) -> None:
    """Those that did not succeed; from the start, also those that did."""
    found = ""
    try:
        commands_again(ended(S, T, state=state), from_start=from_start)
    except FailedPrecondition as error:
        found = error.reason
    assert found == reason


runs = st.lists(
    st.tuples(st.sampled_from([S, F, T, C, SKIPPED]), st.booleans(), st.booleans()), min_size=1, max_size=8
)


@given(runs)
def test_retry_runs_a_tail_of_the_release(described: list[tuple[CommandState, bool, bool]]) -> None:
    """Nothing runs before something that is skipped for having run; nothing else of a command is changed."""
    commands = tuple(
        a_command(
            f"c{index}", skip_reason="by hand" if skipped else "", allow_failure=may, timeout=timedelta(1)
        )
        for index, (_, skipped, may) in enumerate(described)
    )
    states = tuple(SKIPPED if skipped else state for state, skipped, _ in described)
    record = a_record(commands, states)
    try:
        again = commands_again(record, from_start=False)
    except FailedPrecondition:
        assert all(run.state is not SKIPPED or command.skip_reason for command, run in pairs(record))
        return
    assert again is not None
    first = next(index for index, command in enumerate(again) if not command.skip_reason)
    assert all(not command.done_in for command in again[first:])
    assert states[first] is not S
    assert [unskipped(command) for command in again] == [unskipped(command) for command in commands]
    assert all(a.skip_reason == "by hand" for a, b in zip(again, commands, strict=True) if b.skip_reason)


def pairs(record: ReleaseRecord) -> Any:
    return zip(record.spec.commands, record.commands, strict=True)


def unskipped(command: Command) -> Command:
    return msgspec.structs.replace(command, skip_reason="", done_in="")


def test_a_run_has_the_fields_of_its_state() -> None:
    """What the tests above are made of: only what ended by itself has an exit code."""
    assert [a_run(0, state).exit_code for state in (S, F, T, SKIPPED)] == [0, 1, None, None]
