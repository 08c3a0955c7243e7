"""Which lines of a release's output somebody wants to see, and in which form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from releasephase.v1.release_pb2 import Release

    from .lines import Line, Stream


@dataclass(frozen=True, slots=True)
class LineOptions:
    """What `releasectl logs` is asked for beside the release."""

    pattern: re.Pattern[str] | None = None
    """Only lines in which it is found."""
    command: str | None = None
    """Only those of this command: its number, counted from 1, or its label."""
    stream: str | None = None
    """Only those of ``stdout`` or ``stderr``."""
    tail: int | None = None
    """Only so many, the last ones."""
    timestamps: bool = False
    """Each with its time."""

    def __bool__(self) -> bool:
        return self != LineOptions()


class Selection:
    """The options as they apply to one release.

    Raises:
        ValueError: the release has no such command.
    """

    def __init__(self, options: LineOptions, release: Release) -> None:
        from releasephase.v1.release_event_pb2 import CommandOutput

        self._pattern = options.pattern
        self._commands = _commands_of(options.command, release)
        self.only_stream = (
            CommandOutput.Stream.Value(f"STREAM_{options.stream.upper()}") if options.stream else None
        )
        """The one stream whose lines are wanted, None if both are."""

    @property
    def has_pattern(self) -> bool:
        """Whether lines have to be read to know whether they are taken."""
        return self._pattern is not None

    @property
    def only_command(self) -> int | None:
        """The one command whose lines are wanted, None if it is not one."""
        return next(iter(self._commands)) if self._commands and len(self._commands) == 1 else None

    def wants(self, command_index: int | None, stream: Stream) -> bool:
        """Return whether lines of a command (None: outside of all) on a stream are wanted at all."""
        return (self._commands is None or command_index in self._commands) and self.only_stream in (
            None,
            stream,
        )

    def takes(self, line: Line) -> bool:
        """Return whether the pattern is found in a line. What says that something is missing is taken."""
        if self._pattern is None or line.gap:
            return True
        # What is not UTF-8 stands for itself, and no letter is found in it.
        text = line.data.removesuffix(b"\n").decode(errors="surrogateescape")
        return self._pattern.search(text) is not None


def _commands_of(wanted: str | None, release: Release) -> frozenset[int] | None:
    if wanted is None:
        return None
    labels = [run.label for run in release.command_runs]
    if found := frozenset(_places(wanted, labels)):
        return found
    from .words import commands_unknown

    if commands_unknown(release):
        raise ValueError(f"the commands of {release.name} are known once its image is there")
    known = ", ".join(f"{number} {label!r}" for number, label in enumerate(labels, 1))
    raise ValueError(f"{release.name} has no command {wanted!r}; it has {known or 'none at all'}")


def _places(wanted: str, labels: list[str]) -> Iterator[int]:
    """Yield the places of the commands of that label; a number is a place, whatever the labels are."""
    if wanted.isascii() and wanted.isdecimal():
        if 1 <= int(wanted) <= len(labels):
            yield int(wanted) - 1
    else:
        yield from (index for index, label in enumerate(labels) if label == wanted)
