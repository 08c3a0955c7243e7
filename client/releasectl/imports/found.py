"""What a file has of release commands, and what of it is not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..options import Command


class ImportFailed(Exception):
    """A file that can't be imported. ``str(error)`` begins with the place in it: a line or a key."""


@dataclass(frozen=True, slots=True)
class FoundCommand:
    """One release command, and where it stands."""

    place: str
    """A line, such as ``line 3``, or the path of a key, such as ``deploy.release_command``."""
    command: Command


@dataclass(frozen=True, slots=True)
class Note:
    """Something about release commands that is not taken as it stands."""

    place: str
    text: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a file: one command at least."""

    commands: tuple[FoundCommand, ...]
    """In the order in which they run; no two have the same label."""
    notes: tuple[Note, ...] = ()
    others: tuple[str, ...] = ()
    """The keys that have nothing to do with release commands."""

    def labelled(self, label: str) -> Found:
        """Return the same with other labels: this one, and a number after it from the second command on."""
        commands = (
            replace(found, command=replace(found.command, label=numbered(label, number)))
            for number, found in enumerate(self.commands, 1)
        )
        return replace(self, commands=tuple(commands))


def numbered(label: str, number: int) -> str:
    """Return the label of the command with that number.

    The first has none, so that it keeps its label when a second one comes.
    """
    return label if number == 1 else f"{label} {number}"


def shell_lines(label: str, lines: Sequence[tuple[str, str]]) -> tuple[FoundCommand, ...]:
    """Return commands for /bin/sh, given as pairs of a place and a line."""
    return tuple(
        FoundCommand(place, Command(numbered(label, number), line))
        for number, (place, line) in enumerate(lines, 1)
    )
