"""Edits of an application's settings: pure functions, each from a list of commands to the next one.

Each returns what has changed beside it: nothing, if the list is as it was before. What a command
looks like by itself has been looked at by then.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace as but

from released.errors import AlreadyExists, InvalidRequest, NotFound, ResourceExhausted, Violation
from released.model.command_form import MOST_COMMANDS
from released.model.settings import Action, CommandChange, Commands, SettingsCommand

LARGEST_SETTINGS = 512 * 1024
"""Bytes of JSON: an event has them up to three times, and has to fit a message of gRPC's."""


class Edited(NamedTuple):
    """All commands as they are from now on, and what became of each that has changed."""

    commands: Commands
    changes: tuple[CommandChange, ...] = ()


def add(commands: Commands, command: SettingsCommand, position: int = 0) -> Edited:
    """Put a command at a position, counted from 1, or (0) behind all others.

    Raises AlreadyExists for a label that is taken, and says whether by a command like this one;
    InvalidRequest for a position that there is not, and ResourceExhausted for more than an application
    may have.
    """
    _check_label(commands, command)
    place = _checked(position or len(commands) + 1, len(commands) + 1)
    added = CommandChange(action=Action.ADDED, after=command, after_position=place)
    return _within_limits(_with(commands, command, place), added)


def edit(commands: Commands, command: SettingsCommand) -> Edited:
    """Put a command in the place of the one with the same id.

    Raises NotFound, AlreadyExists for a label that is taken, and ResourceExhausted.
    """
    place = _place_of(commands, command.command_id)
    before = commands[place - 1]
    _check_label(_without(commands, place), command)
    if command == before:
        return Edited(commands)
    edited = CommandChange(
        action=Action.EDITED, before=before, before_position=place, after=command, after_position=place
    )
    return _within_limits((*commands[: place - 1], command, *commands[place:]), edited)


def move(commands: Commands, command_id: str, position: int) -> Edited:
    """Give a command another position, counted from 1. Raises NotFound, and InvalidRequest as `add`."""
    before = _place_of(commands, command_id)
    after = _checked(position, len(commands))
    if before == after:
        return Edited(commands)
    command = commands[before - 1]
    return Edited(
        _with(_without(commands, before), command, after), (_moved(command, command, before, after),)
    )


def remove(commands: Commands, command_id: str) -> Edited:
    """Leave a command out. Raises NotFound."""
    place = _place_of(commands, command_id)
    removed = CommandChange(action=Action.REMOVED, before=commands[place - 1], before_position=place)
    return Edited(_without(commands, place), (removed,))


def replace(commands: Commands, wanted: Sequence[SettingsCommand]) -> Edited:
    """Put a list, in which no label is twice, in the place of all commands.

    A command whose label is there already keeps its id. Raises ResourceExhausted.
    """
    ids = {command.label: command.command_id for command in commands}
    after = tuple(but(each, command_id=ids.get(each.label, each.command_id)) for each in wanted)
    return _within_limits(after, *_differences(commands, after))


def _differences(before: Commands, after: Commands) -> Iterable[CommandChange]:
    """Yield what became of each command: of those that are gone, and then in the order of the others."""
    old = {command.command_id: (place, command) for place, command in enumerate(before, 1)}
    new_ids = {command.command_id for command in after}
    for command_id, (place, command) in old.items():
        if command_id not in new_ids:
            yield CommandChange(action=Action.REMOVED, before=command, before_position=place)
    in_order = _in_order([old[each.command_id][0] if each.command_id in old else 0 for each in after])
    for place, command in enumerate(after, 1):
        if command.command_id not in old:
            yield CommandChange(action=Action.ADDED, after=command, after_position=place)
            continue
        old_place, was = old[command.command_id]
        if was != command:
            yield but(_moved(was, command, old_place, place), action=Action.EDITED)
        elif old_place not in in_order:
            yield _moved(was, command, old_place, place)


def _in_order(places: Sequence[int]) -> frozenset[int]:
    """Return which commands have not moved, by where they were; 0 stands for one that was not there.

    They are the most that are in the same order as before; of as many, those of which more are where
    they were.
    """
    best: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())]
    for index, place in enumerate(places, 1):
        if place:
            count, same, chain = max(each for each in best if not each[2] or each[2][-1] < place)
            best.append((count + 1, same + (place == index), (*chain, place)))
    return frozenset(max(best)[2])


def _moved(before: SettingsCommand, after: SettingsCommand, old_place: int, place: int) -> CommandChange:
    return CommandChange(
        action=Action.MOVED, before=before, before_position=old_place, after=after, after_position=place
    )


def _with(commands: Commands, command: SettingsCommand, place: int) -> Commands:
    return (*commands[: place - 1], command, *commands[place - 1 :])


def _without(commands: Commands, place: int) -> Commands:
    return (*commands[: place - 1], *commands[place:])


def _place_of(commands: Commands, command_id: str) -> int:
    for place, command in enumerate(commands, 1):
        if command.command_id == command_id:
            return place
    raise NotFound(
        "COMMAND_NOT_FOUND",
        f"the application's settings have no command {command_id}: it may have been removed",
        {"command": command_id},
    )


def _checked(position: int, last: int) -> int:
    if not 1 <= position <= last:
        there_are = f"from 1 to {last}" if last else "none, since there are no commands"
        raise InvalidRequest([Violation("position", f"must be one that there is: {there_are}")])
    return position


def _check_label(commands: Commands, command: SettingsCommand) -> None:
    for other in commands:
        if other.label == command.label:
            # For whoever asks again, since no answer came.
            identical = but(other, command_id=command.command_id) == command
            how = "just like this one" if identical else "not like this one: use a label that it has not yet"
            message = f"the application has another command with the label {command.label!r}, {how}"
            metadata = {"command": other.command_id, "identical": "true" if identical else "false"}
            raise AlreadyExists("LABEL_TAKEN", message, metadata)


def _within_limits(commands: Commands, *changes: CommandChange) -> Edited:
    if len(commands) > MOST_COMMANDS:
        raise _too_many(f"{MOST_COMMANDS} commands")
    if len(msgspec.json.encode(commands)) > LARGEST_SETTINGS:
        raise _too_many(f"commands of {LARGEST_SETTINGS} bytes")
    return Edited(commands, changes)


def _too_many(most: str) -> ResourceExhausted:
    return ResourceExhausted("TOO_MANY_COMMANDS", f"an application may have {most} in its settings at most")
