"""What becomes of an application's settings when release commands are imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from releasephase.v1.command_service_pb2 import Command

from . import options


class Fate(StrEnum):
    """What an import does to a command."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    """Also where the file has no command with its label."""


@dataclass(frozen=True, slots=True)
class Merged:
    """One command of the settings as they will be."""

    fate: Fate
    before: Command | None
    """As it was; None if it is added."""
    after: Command


def merge(settings: Iterable[Command], found: Sequence[options.Command]) -> list[Merged]:
    """Return the settings with what was found: each command in its place, those added at the end.

    What has a label that is in the settings replaces the line there, and the timeout if it has one;
    all else about a command stays. Nothing is removed.

    Args:
        settings: The commands in the settings, in order.
        found: The commands of a file; no two have the same label.
    """
    by_label = {command.label: command for command in found}
    merged = [_merged(command, by_label.pop(command.label, None)) for command in settings]
    for position, command in enumerate(by_label.values(), len(merged) + 1):
        added = _with(Command(label=command.label, position=position), command)
        merged.append(Merged(Fate.ADDED, None, added))
    return merged


def twins(merged: Iterable[Merged]) -> list[tuple[Command, Command]]:
    """Return each command that is added with one that was there already and runs the same."""
    merged = list(merged)
    return [
        (each.after, other.after)
        for each in merged
        if each.before is None
        for other in merged
        if other.before is not None and _runs(other.after) == _runs(each.after)
    ]


def _merged(before: Command, found: options.Command | None) -> Merged:
    if found is None:
        return Merged(Fate.UNCHANGED, before, before)
    after = _with(before, found)
    return Merged(Fate.UNCHANGED if after == before else Fate.CHANGED, before, after)


def _with(command: Command, found: options.Command) -> Command:
    """A command with what the file says about it; all else stays, also what is not known here."""
    result = Command()
    result.CopyFrom(command)
    if found.argv is not None:
        result.argv.arguments[:] = found.argv
    else:
        result.line = found.line or ""
    if found.timeout is not None:
        result.timeout.FromTimedelta(found.timeout)
    return result


def _runs(command: Command) -> tuple[str, tuple[str, ...]]:
    return command.line, tuple(command.argv.arguments)
