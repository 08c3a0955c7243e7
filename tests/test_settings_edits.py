"""Edits of settings: each gives exactly the list that was asked for, and tells what has changed."""

import string
from collections.abc import Callable, Sequence
from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as but

from released.errors import AlreadyExists, ApplicationError, InvalidRequest, NotFound, ResourceExhausted
from released.model.command_form import LONGEST_LINE, MOST_COMMANDS
from released.model.settings import Action, CommandChange, Commands, SettingsCommand
from released.settings.edits import LARGEST_SETTINGS, Edited, add, edit, move, remove, replace
from support.properties import deterministic
from support.samples import a_setting

A, B, C, D = map(a_setting, "abcd")
NEW = a_setting("new")
NOBODY = a_setting("nobody").command_id


def labels(commands: Sequence[SettingsCommand]) -> str:
    return " ".join(command.label for command in commands)


def told(edited: Edited) -> list[tuple[str, int, int]]:
    """The changes, each with its action and its positions before and after."""
    return [(str(each.action), each.before_position, each.after_position) for each in edited.changes]


@pytest.mark.parametrize(
    ("position", "expected", "place"),
    [(0, "a b new", 3), (1, "new a b", 1), (2, "a new b", 2), (3, "a b new", 3)],
)
def test_add(position: int, expected: str, place: int) -> None:
    """At its position, or behind all others."""
    edited = add((A, B), NEW, position)
    assert labels(edited.commands) == expected
    assert edited.changes == (CommandChange(action=Action.ADDED, after=NEW, after_position=place),)


def test_the_first_command_is_added() -> None:
    """There is one position, the first."""
    assert add((), NEW) == add((), NEW, 1)
    assert told(add((), NEW)) == [("ADDED", 0, 1)]


def test_edit() -> None:
    """In its place, with how it was before; a label that it has itself is not taken."""
    changed = but(B, line="false", disabled=True)
    edited = edit((A, B, C), changed)
    assert edited.commands == (A, changed, C)
    assert edited.changes == (
        CommandChange(action=Action.EDITED, before=B, before_position=2, after=changed, after_position=2),
    )


@pytest.mark.parametrize(("position", "expected"), [(1, "b a c d"), (3, "a c b d"), (4, "a c d b")])
def test_move(position: int, expected: str) -> None:
    """It has the position that was asked for, and all others keep their order."""
    edited = move((A, B, C, D), B.command_id, position)
    assert labels(edited.commands) == expected
    assert edited.changes == (
        CommandChange(action=Action.MOVED, before=B, before_position=2, after=B, after_position=position),
    )


def test_remove() -> None:
    """The others stay as they are."""
    edited = remove((A, B, C), B.command_id)
    assert edited.commands == (A, C)
    assert edited.changes == (CommandChange(action=Action.REMOVED, before=B, before_position=2),)


def test_replace_tells_what_became_of_each() -> None:
    """A command whose label was there stays the same one, by its id."""
    others = [but(each, command_id=f"other {each.label}") for each in (C, A, B)]
    edited = replace((A, B, D), [others[0], but(others[1], line="false"), others[2]])
    assert edited.commands == (others[0], but(A, line="false"), B)
    assert told(edited) == [("REMOVED", 3, 0), ("ADDED", 0, 1), ("EDITED", 1, 2)]


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ("abcd", "bcda", "a"),
        ("abcd", "dabc", "d"),
        ("abcd", "acbd", "b"),
        ("abcd", "bcd", ""),
        ("bcd", "abcd", ""),
        ("xbc", "cb", "c"),
        ("abcd", "dcba", "abc"),
    ],
)
def test_replace_tells_the_fewest_moves(before: str, after: str, moved: str) -> None:
    """What only has other neighbours has not moved, nor what another one has passed."""
    edited = replace(tuple(map(a_setting, before)), [a_setting(label) for label in after])
    said = [each.after for each in edited.changes if each.action is Action.MOVED]
    assert sorted(each.label for each in said if each) == sorted(moved)


@pytest.mark.parametrize(
    ("again", "identical"),
    [(but(B, command_id="new"), True), (but(B, command_id="new", disabled=True), False)],
)
def test_add_again_tells_whether_it_is_there(again: SettingsCommand, identical: bool) -> None:
    """For somebody who got no answer the first time."""
    with pytest.raises(
        AlreadyExists, match=f"label 'b', {'just' if identical else 'not'} like this one"
    ) as taken:
        add((A, B), again)
    assert taken.value.metadata == {"command": B.command_id, "identical": str(identical).lower()}


REFUSED: list[tuple[Callable[[Commands], Edited], type[ApplicationError], str]] = [
    (lambda commands: add(commands, but(NEW, label="b")), AlreadyExists, "LABEL_TAKEN"),
    (lambda commands: edit(commands, but(A, label="b")), AlreadyExists, "LABEL_TAKEN"),
    (lambda commands: edit(commands, NEW), NotFound, "COMMAND_NOT_FOUND"),
    (lambda commands: move(commands, NOBODY, 1), NotFound, "COMMAND_NOT_FOUND"),
    (lambda commands: remove(commands, NOBODY), NotFound, "COMMAND_NOT_FOUND"),
    (lambda commands: add(commands, NEW, 5), InvalidRequest, "INVALID_REQUEST"),
    (lambda commands: move(commands, A.command_id, 4), InvalidRequest, "INVALID_REQUEST"),
    (lambda commands: move(commands, A.command_id, 0), InvalidRequest, "INVALID_REQUEST"),
]


@pytest.mark.parametrize(("change", "error", "reason"), REFUSED)
def test_what_is_refused(
    change: Callable[[Commands], Edited], error: type[ApplicationError], reason: str
) -> None:
    """With a reason for programs."""
    with pytest.raises(error) as refused:
        change((A, B, C))
    assert refused.value.reason == reason


def test_positions_that_there_are_are_told() -> None:
    """So that nobody has to count."""
    with pytest.raises(InvalidRequest, match="position: must be one that there is: from 1 to 3"):
        move((A, B, C), A.command_id, 9)


def test_an_application_has_so_many_commands_at_most() -> None:
    """One more is refused; editing and moving go on."""
    full = tuple(a_setting(str(number)) for number in range(MOST_COMMANDS))
    with pytest.raises(ResourceExhausted, match="100 commands in its settings at most") as refused:
        add(full, NEW)
    assert refused.value.reason == "TOO_MANY_COMMANDS"
    assert told(edit(full, but(full[7], line="false"))) == [("EDITED", 8, 8)]
    assert told(move(full, full[0].command_id, MOST_COMMANDS)) == [("MOVED", 1, 100)]


@pytest.mark.parametrize("field", ["line", "rollback"])
def test_an_application_has_commands_of_so_many_bytes_at_most(field: str) -> None:
    """Whatever takes the room: an event that told of more could not be read by any client."""
    long = {"line": "true", field: "x" * LONGEST_LINE}
    count = LARGEST_SETTINGS // LONGEST_LINE
    many = tuple(a_setting(str(number), **long) for number in range(count - 1))
    last = a_setting("last", **long)
    short = add(many, but(last, line="true", rollback="")).commands
    changes: list[Callable[[], Edited]] = [
        lambda: add(many, last),
        lambda: edit(short, last),
        lambda: replace((), [*many, last]),
    ]
    for change in changes:
        with pytest.raises(ResourceExhausted, match="commands of 524288 bytes") as refused:
            change()
        assert refused.value.reason == "TOO_MANY_COMMANDS"


LABELS = st.sampled_from(string.ascii_lowercase[:6])
COMMANDS = st.builds(a_setting, LABELS, line=st.sampled_from(["true", "false"]))
LISTS = st.lists(COMMANDS, unique_by=lambda command: command.label, max_size=6)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just(add), COMMANDS, st.integers(-1, 7)),
        st.tuples(st.just(edit), COMMANDS),
        st.tuples(st.just(move), COMMANDS.map(lambda command: command.command_id), st.integers(-1, 7)),
        st.tuples(st.just(remove), COMMANDS.map(lambda command: command.command_id)),
        st.tuples(st.just(replace), LISTS),
    ),
    max_size=12,
)


@deterministic
@given(EDITS)
def test_labels_and_ids_are_unique_whatever_is_done(
    steps: list[tuple[Callable[..., Edited], object]],
) -> None:
    """And a change is told if and only if there is one; each tells where the command was and is."""
    commands: Commands = ()
    for step, *arguments in steps:
        try:
            edited = step(commands, *arguments)
        except (AlreadyExists, InvalidRequest, NotFound):
            continue
        after = edited.commands
        assert len({command.label for command in after}) == len(after)
        assert len({command.command_id for command in after}) == len(after)
        assert bool(edited.changes) == (after != commands)
        for change in edited.changes:
            assert change.before == (commands[change.before_position - 1] if change.before_position else None)
            assert change.after == (after[change.after_position - 1] if change.after_position else None)
        commands = after


@deterministic
@given(LISTS, LISTS)
def test_replace_gives_what_was_asked_for(
    before: list[SettingsCommand], after: list[SettingsCommand]
) -> None:
    """And tells all of it: what is not named is in the same order as before, and as it was."""
    edited = replace(tuple(before), after)
    assert edited.commands == tuple(after)
    named = {each.label for change in edited.changes for each in (change.before, change.after) if each}
    unnamed = [command for command in after if command.label not in named]
    assert all(command in before for command in unnamed)
    assert all(before.index(one) < before.index(other) for one, other in pairwise(unnamed))
    assert {command.label for command in before} - {command.label for command in after} <= named


def test_no_fewer_moves_would_do() -> None:
    """For every order of five commands: the others are as many as can stay in their order."""
    commands = tuple(map(a_setting, "abcde"))
    for order in permutations(commands):
        moved = len(replace(commands, order).changes)
        staying = max(
            bin(chosen).count("1")
            for chosen in range(2**5)
            if sorted(kept := [c for i, c in enumerate(order) if chosen >> i & 1], key=commands.index) == kept
        )
        assert moved == 5 - staying
