"""What a rollback runs, for releases that have ended in any way."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from released.model.command_form import LONGEST_LABEL, refuse_label
from released.model.events import CommandFinished
from released.model.release import Command, Likeness
from released.model.states import CommandState, OnBusy, PullPolicy
from released.rollback import rollback_spec
from support.records import a_record
from support.samples import OTHER_RELEASE, RELEASE, a_command

S, F, SKIPPED = CommandState.SUCCEEDED, CommandState.FAILED, CommandState.SKIPPED

states = st.sampled_from(list(CommandState))


def undoable(label: str) -> Command:
    return a_command(label, line=f"do {label}", rollback=f"undo {label}", allow_failure=True)


def test_rollbacks_run_in_reverse() -> None:
    """Only those of what succeeded here; their failure is none that is allowed."""
    commands = (undoable("a"), a_command("b"), undoable("c"), undoable("d"), undoable("e"))
    spec = rollback_spec(a_record(commands, (S, S, S, F, SKIPPED)))
    assert spec is not None
    assert [(each.label, each.line, each.rollback) for each in spec.commands] == [
        ("Roll back: c", "undo c", ""),
        ("Roll back: a", "undo a", ""),
    ]
    assert not any(each.allow_failure or each.skip_reason for each in spec.commands)
    assert {each.timeout for each in spec.commands} == {commands[0].timeout}


def test_rollback_has_the_container_of_its_release() -> None:
    """Its image by its id, which is there; but it is no repeated request, nor like another container."""
    likeness = Likeness(container_id="c1", container_name="web")
    asked: dict[str, Any] = {
        "user": "1000",
        "networks": ("back",),
        "environment_names": ("A",),
        "labels": {"a": "b"},
    }
    record = a_record(
        (undoable("a"),),
        (S,),
        request_id="0190163d-8694-739b-aea5-966c26f8ad91",
        on_busy=OnBusy.REJECT,
        retry_of=OTHER_RELEASE,
        likeness=likeness,
        **asked,
    )
    spec = rollback_spec(record)
    assert spec is not None
    assert spec == msgspec.structs.replace(
        record.spec,
        commands=spec.commands,
        pull_policy=PullPolicy.NEVER,
        on_busy=OnBusy.QUEUE,
        request_id="",
        retry_of="",
        likeness=None,
        image_id=record.image_id,
        rollback_of=RELEASE,
    )


def test_nothing_is_undone_twice_or_in_turn() -> None:
    """A release that was rolled back has had that; a rollback has none."""
    record = a_record((undoable("a"),), (S,))
    assert rollback_spec(record) is not None
    assert rollback_spec(a_record((undoable("a"),), (S,), rollback_of=OTHER_RELEASE)) is None
    assert rollback_spec(a_record((undoable("a"),), (S,), rollback=OTHER_RELEASE)) is None


def test_what_is_seen_counts_more_than_what_is_recorded() -> None:
    """The end of a command that could not be stored is stored with the release's."""
    record = a_record((undoable("a"), undoable("b")), (S, CommandState.RUNNING))
    seen = CommandFinished(command_index=1, state=S, exit_code=0)
    spec = rollback_spec(record, [seen])
    assert spec is not None
    assert [each.label for each in spec.commands] == ["Roll back: b", "Roll back: a"]


def test_label_that_becomes_too_long_is_cut() -> None:
    """It is still one."""
    spec = rollback_spec(a_record((undoable("x" * LONGEST_LABEL),), (S,)))
    assert spec is not None
    (command,) = spec.commands
    assert len(command.label) == LONGEST_LABEL
    assert refuse_label(command.label) == ""


@given(st.lists(st.tuples(states, st.booleans()), max_size=10))
def test_every_success_that_can_be_undone_is_undone_once(described: list[tuple[CommandState, bool]]) -> None:
    """And nothing else, in the opposite order."""
    commands = tuple(
        undoable(str(index)) if can else a_command(str(index)) for index, (_, can) in enumerate(described)
    )
    spec = rollback_spec(a_record(commands, [state for state, _ in described]))
    expected = [str(index) for index, (state, can) in enumerate(described) if state is S and can]
    lines = [str(each.line) for each in spec.commands] if spec else []
    assert lines == [f"undo {label}" for label in reversed(expected)]
