"""What `releasectl commands` says, as rows of words. Drawing them is not done here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import groupby

from releasephase.v1.command_service_pb2 import Command, CommandChange, DeclaredCommands, ListCommandsResponse
from releasephase.v1.release_pb2 import CommandRun

from . import formatting
from .settings_merge import Merged
from .tables import Fields, Table, When, said
from .words import NONE, cut, escaped, line_text, one_line, seconds, shown

_ACTIONS: Mapping[int, str] = {
    CommandChange.ACTION_ADDED: "added",
    CommandChange.ACTION_EDITED: "edited",
    CommandChange.ACTION_MOVED: "moved",
    CommandChange.ACTION_REMOVED: "removed",
}
_HEADINGS = ("NO", "COMMAND", "TIMEOUT", "ENVIRONMENTS", "FLAGS", "LINE")
_DEFAULT_TIMEOUT = "default"
_ALL = "all"
_SOURCES: Mapping[int, str] = {
    CommandRun.SOURCE_IMAGE: "IMAGE",
    CommandRun.SOURCE_PROCFILE: "PROCFILE",
}


def settings_table(commands: Iterable[Command], without: Collection[str] = ()) -> Table:
    """Return the table of commands, in the order in which they run, without some of its columns.

    Only columns in which all commands are as they are by default are ever left out for want of room.
    """
    columns = [_columns(number, command) for number, command in enumerate(commands, 1)]
    headings = tuple(heading for heading in _HEADINGS if heading not in without)
    rows = [tuple(row[heading] for heading in headings) for row in columns]
    by_default = {"TIMEOUT": _DEFAULT_TIMEOUT, "ENVIRONMENTS": _ALL, "FLAGS": NONE}
    optional = [
        heading
        for heading, value in by_default.items()
        if heading in headings and all(row[heading] == value for row in columns)
    ]
    shortened = tuple(each for each in headings if each in ("COMMAND", "ENVIRONMENTS", "FLAGS"))
    return Table(headings, rows, elastic="LINE", optional=tuple(optional), shortened=shortened)


def _columns(number: int, command: Command) -> Mapping[str, str]:
    cells = (
        str(number),
        command.label,
        _timeout(command),
        _environments(command),
        ", ".join(_flags(command)) or NONE,
        line_text(command),
    )
    return dict(zip(_HEADINGS, cells, strict=True))


def _flags(command: Command) -> Iterator[str]:
    if command.disabled:
        yield "disabled"
    if command.allow_failure:
        yield "allow-failure"
    if command.rollback:
        yield "rollback"


def rollback_fields(commands: Iterable[Command]) -> Fields:
    """Return the lines that undo what commands did, one for each that has one."""
    return [
        (f"rollback of {command.label}", cut(escaped(command.rollback)))
        for command in commands
        if command.rollback
    ]


def declared_parts(declared: Iterable[DeclaredCommands]) -> Iterator[Fields | Table]:
    """Yield, for each environment, which image has declared what."""
    for each in declared:
        what = f"by {_SOURCES.get(each.source, 'the application')}" if each.commands else "nothing"
        fields = [
            (f"declared for {each.environment}", what),
            ("image", each.image),
            ("digest", each.image_digest),
            ("release", each.release),
        ]
        yield said(fields)
        # For which other environments these are declared, a release does not know.
        yield settings_table(each.commands, without={"ENVIRONMENTS"})
        yield rollback_fields(each.commands)


def whole_parts(found: ListCommandsResponse) -> Iterator[Fields]:
    """Yield all there is to say about each command, one part for each, with nothing shortened."""
    for command in found.commands:
        yield [("name", command.name), *_whole_fields(command)]
    for each in found.declared:
        origin = [("declared for", each.environment), ("image", each.image), ("digest", each.image_digest)]
        for command in each.commands:
            yield [*said(origin), *_whole_fields(command, without={"environments"})]


def _whole_fields(command: Command, without: Collection[str] = ()) -> Fields:
    """What a command is like; a text of several lines has as many."""
    texts = {name: text(command) for name, text in _PROPERTIES.items() if name not in without}
    texts |= {"line": command.line or texts["line"], "rollback": command.rollback or texts["rollback"]}
    return [
        ("" if number else name, line)
        for name, text in texts.items()
        for number, line in enumerate(text.split("\n"))
    ]


def change_parts(changes: Iterable[CommandChange], when: When) -> Iterator[Fields]:
    """Yield who has changed what: one part for what was done in one piece."""
    for sequence, in_one_piece in groupby(changes, lambda change: change.sequence):
        parts = list(in_one_piece)
        who = formatting.caller_name(parts[0].caller)
        yield [
            (f"event {sequence}", f"{when(parts[0].event_time)} by {who}"),
            *(field for change in parts for field in _change_fields(change)),
        ]


def _change_fields(change: CommandChange) -> Iterator[tuple[str, str]]:
    before = change.before if change.HasField("before") else None
    after = change.after if change.HasField("after") else None
    yield _action(change), _label(change)
    for text in difference_texts(before, after):
        yield "", text


def action_text(change: CommandChange) -> str:
    """Return what was done to which command, such as ``edited 'notify'``."""
    return f"{_action(change)} {_label(change)!r}"


def _action(change: CommandChange) -> str:
    return _ACTIONS.get(change.action, "changed")


def _label(change: CommandChange) -> str:
    """The label by which the command was known before, if it was there."""
    return change.before.label if change.HasField("before") else change.after.label


def difference_texts(before: Command | None, after: Command | None) -> Iterator[str]:
    """Yield what differs, such as ``timeout: 10m -> 20m``; of what was added or removed, what it is."""
    nothing = Command()
    for name, text in _PROPERTIES.items():
        old, new = text(before or nothing), text(after or nothing)
        if old == new:
            continue
        if before is not None and after is not None:
            yield f"{name}: {' -> '.join(shown(old, new))}"
        elif name != "label":
            yield f"{name}: {cut(old if after is None else new)}"


def merge_fields(merged: Iterable[Merged]) -> Fields:
    """Return what an import does to each command: what is new, or what differs."""
    fields = []
    for each in merged:
        fields.append((each.fate.value, each.after.label))
        fields += [("", text) for text in difference_texts(each.before, each.after)]
    return fields


def _timeout(command: Command) -> str:
    return formatting.duration(seconds(command.timeout)) if command.HasField("timeout") else _DEFAULT_TIMEOUT


def _environments(command: Command) -> str:
    return ", ".join(command.environments) or _ALL


def _yes_or_no(value: bool) -> str:
    return "yes" if value else "no"


_PROPERTIES: Mapping[str, Callable[[Command], str]] = {
    "label": lambda command: command.label,
    "number": lambda command: str(command.position),
    "line": one_line,
    "timeout": _timeout,
    "environments": _environments,
    "allow-failure": lambda command: _yes_or_no(command.allow_failure),
    "rollback": lambda command: escaped(command.rollback) or "none",
    "disabled": lambda command: _yes_or_no(command.disabled),
}
"""What a command is like, each by its name."""
