"""How lines of output are shown: as they are on a pipe, escaped on a terminal, or as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

from releasephase.v1.release_event_pb2 import CommandOutput, ReleaseEvent
from releasephase.v1.release_pb2 import CommandRun, Release

from .formatting import iso_time_ms
from .lines import Line
from .selection import Selection
from .terminal_text import escape, safe_line
from .views import say, write_json_line

_OUTSIDE = "-"
"""Stands for a label where no command wrote a line."""


class LineView(Protocol):
    """Shows lines of one release's output."""

    def show(self, line: Line) -> None:
        """Show one line."""

    def flush(self) -> None:
        """Let what was shown be seen."""


class Prefix:
    """What stands before a line: its time, if that is asked for, and the label of its command."""

    def __init__(self, labels: Sequence[str], *, timestamps: bool, with_label: bool) -> None:
        self._labels = labels
        self._timestamps = timestamps
        self._with_label = with_label

    def of(self, line: Line) -> str:
        """Return it, with a blank behind it if there is any."""
        time = f"{iso_time_ms(line.time)} " if self._timestamps else ""
        return f"{time}{self.label(line)}: " if self._with_label else time

    def label(self, line: Line) -> str:
        """Return the label of the command that wrote a line."""
        index = line.command_index
        return _OUTSIDE if index is None or index >= len(self._labels) else self._labels[index]


class PipedLines:
    """Writes lines to stdout, byte for byte.

    A newline that a line lacks is only added where another line follows.
    """

    def __init__(self, prefix: Prefix) -> None:
        self._prefix = prefix
        self._newline_due = False

    def show(self, line: Line) -> None:
        if line.gap:
            _tell_gap(line, self._prefix)
            return
        before = "\n" * self._newline_due + self._prefix.of(line)
        sys.stdout.buffer.write(before.encode() + line.data)
        self._newline_due = not line.data.endswith(b"\n")

    def flush(self) -> None:
        sys.stdout.buffer.flush()


class LinesOnTerminal:
    """Writes lines to a terminal with nothing in them that commands it."""

    def __init__(self, prefix: Prefix) -> None:
        self._prefix = prefix

    def show(self, line: Line) -> None:
        if line.gap:
            _tell_gap(line, self._prefix)
        else:
            sys.stdout.write(f"{escape(self._prefix.of(line))}{safe_line(line.data)}\n")

    def flush(self) -> None:
        sys.stdout.flush()


class JsonLinesOfOutput:
    """Writes each line as an event whose output it is."""

    def __init__(self, name: str, prefix: Prefix) -> None:
        self._name = name
        self._prefix = prefix

    def show(self, line: Line) -> None:
        if line.gap:
            _tell_gap(line, self._prefix)
            return
        output = CommandOutput(command_index=line.command_index, stream=line.stream, data=line.data)
        write_json_line(
            ReleaseEvent(
                sequence=line.sequence, release=self._name, event_time=line.time, command_output=output
            )
        )

    def flush(self) -> None:
        sys.stdout.flush()


def choose_line_view(release: Release, *, timestamps: bool, with_label: bool, as_json: bool) -> LineView:
    """Return the view that suits where stdout goes."""
    prefix = Prefix([run.label for run in release.command_runs], timestamps=timestamps, with_label=with_label)
    if as_json:
        return JsonLinesOfOutput(release.name, prefix)
    return LinesOnTerminal(prefix) if sys.stdout.isatty() else PipedLines(prefix)


def why_no_lines(release: Release, selection: Selection) -> str:
    """Return what is said where a selection leaves nothing of a release's output."""
    if selection.has_pattern:
        return "no line matches"
    run = None if selection.only_command is None else release.command_runs[selection.only_command]
    if run and run.state == CommandRun.STATE_SKIPPED:
        reason = f": {run.skip_reason}" if run.skip_reason else ""
        return f"no output: {run.label} was skipped{reason}"
    return "no output"


def _tell_gap(line: Line, prefix: Prefix) -> None:
    # On stderr: it is nothing that a command wrote.
    sys.stdout.flush()
    stream = "stderr" if line.stream == CommandOutput.STREAM_STDERR else "stdout"
    say(f"[… {stream} of {prefix.label(line)}: {line.gap} …]")
