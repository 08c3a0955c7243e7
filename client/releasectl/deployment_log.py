"""The deployment log: what the events of a release look like when they are read.

The form is that of docs/releasectl.md. Pure: events in, pieces of the log out. A
pipe gets their bytes as they are; a terminal escapes and colours them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from releasephase.v1.release_event_pb2 import (
    CommandOutput,
    OutputLost,
    OutputRealigned,
    ReleaseEvent,
    StateChanged,
)
from releasephase.v1.release_pb2 import CommandRun, Release

from .formatting import size
from .lines import REMOVED
from .words import exit_sentence

_NEXT = ("command_started", "command_output", "output_lost", "output_realigned")
"""What a release goes on with after a command."""


class Kind(Enum):
    """What a piece of the log is."""

    HEADING = auto()
    COMMAND = auto()
    """``Running <label>...``"""
    STDOUT = auto()
    STDERR = auto()
    BLANK = auto()
    """The end of a block of output: a newline that it lacks, and a blank line."""
    NOTE = auto()
    WARNING = auto()
    FAILURE = auto()


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of the log. All but output end with a newline."""

    kind: Kind
    data: bytes


class DeploymentLog:
    """Turns the events of one release, from its first on, into its deployment log."""

    def __init__(self) -> None:
        self._runs: Sequence[CommandRun] = ()
        """Empty until it is known what the release runs."""
        self._past = 0
        """How many commands had their turn: they were started, or are said to be skipped."""
        self._allowed_failure: CommandRun | None = None
        """A command that failed and was allowed to; that the release goes on is not seen yet."""
        self._title = "docker release commands"
        self._heading_due = True
        self._block_open = False
        self._at_line_start = True
        self._pruned_bytes = 0
        self._cancel_reason = ""

    def feed(self, event: ReleaseEvent) -> Iterator[Piece]:
        """Yield what the event adds to the log."""
        for piece in self._pieces(event):
            if piece.data:
                self._at_line_start = piece.data.endswith(b"\n")
                yield piece

    def _pieces(self, event: ReleaseEvent) -> Iterator[Piece]:
        if pruned_bytes := event.command_output.pruned_bytes:
            # Told together with what comes next to it.
            self._pruned_bytes += pruned_bytes
            return
        if event.WhichOneof("payload") in _NEXT:
            yield from self._gone_on()
        if self._pruned_bytes and event.WhichOneof("payload") != "progress_notice":
            yield from self._pruned()
        match event.WhichOneof("payload"):
            case "accepted":
                if event.accepted.release.rollback_of:
                    self._title = "rollback of docker release commands"
                self._runs = event.accepted.release.command_runs
            case "commands_resolved":
                self._runs = event.commands_resolved.command_runs
            case "command_started":
                yield from self._heading()
                yield from self._close_block()
                yield from self._skips(event.command_started.command_index)
                self._block_open = True
                self._past = event.command_started.command_index + 1
                yield _line(Kind.COMMAND, f"Running {event.command_started.label}...", "")
            case "command_output":
                yield from self._output(event.command_output)
            case "output_lost":
                yield from self._lost(event.output_lost)
            case "output_realigned":
                yield from self._realigned(event.output_realigned)
            case "command_finished":
                yield from self._finished(event.command_finished.command_run)
            case "cancel_requested":
                self._cancel_reason = self._cancel_reason or _one_line(event.cancel_requested.reason)
            case "state_changed":
                yield from self._end(event.state_changed)

    def _heading(self) -> Iterator[Piece]:
        # Not before there is something to put under it: a release may wait for long.
        if self._heading_due:
            self._heading_due = False
            yield _line(Kind.HEADING, f"===== {self._title} =====", "")

    def _skips(self, end: int) -> Iterator[Piece]:
        """Say of the commands before `end` whose turn has come that they are skipped."""
        for run in self._runs[self._past : end]:
            if run.skip_reason:
                yield _line(Kind.NOTE, f"Skipping {run.label}: {_sentence(run.skip_reason)}", "")
        self._past = max(self._past, end)

    def _finished(self, run: CommandRun) -> Iterator[Piece]:
        if run.state != CommandRun.STATE_SKIPPED:
            yield from self._close_block()
        if run.state == CommandRun.STATE_FAILED and run.allow_failure:
            self._allowed_failure = run

    def _gone_on(self) -> Iterator[Piece]:
        """Say that a command has failed and the release goes on: not every failure of it is allowed."""
        run, self._allowed_failure = self._allowed_failure, None
        if run is not None:
            text = f"{_raised(run.label)} failed. {exit_sentence(run)} The release goes on."
            yield _line(Kind.WARNING, text, "")

    def _output(self, output: CommandOutput) -> Iterator[Piece]:
        yield from self._heading()
        self._block_open = True
        if output.omitted_bytes:
            yield self._remark(f"{output.omitted_bytes} bytes omitted")
        yield Piece(Kind.STDERR if output.stream == CommandOutput.STREAM_STDERR else Kind.STDOUT, output.data)

    def _pruned(self) -> Iterator[Piece]:
        yield from self._heading()
        self._block_open = True
        removed, self._pruned_bytes = size(self._pruned_bytes), 0
        yield self._remark(f"{REMOVED}: {removed}")

    def _lost(self, lost: OutputLost) -> Iterator[Piece]:
        yield from self._heading()
        self._block_open = True
        yield self._remark(f"output on {self._whose(lost)} is missing: {_one_line(lost.reason)}")

    def _realigned(self, found: OutputRealigned) -> Iterator[Piece]:
        yield from self._heading()
        self._block_open = True
        yield self._remark(
            f"output on {self._whose(found)} may be missing: the engine's log lacks "
            f"{found.missing_bytes} bytes that are stored, and differs in {found.altered_bytes} more"
        )

    def _whose(self, event: OutputLost | OutputRealigned) -> str:
        stream = "stderr" if event.stream == CommandOutput.STREAM_STDERR else "stdout"
        if not event.HasField("command_index") or event.command_index >= len(self._runs):
            return stream
        return f"{stream} of {self._runs[event.command_index].label}"

    def _remark(self, text: str) -> Piece:
        line_break = "" if self._at_line_start else "\n"
        return _line(Kind.NOTE, f"{line_break}[… {text} …]")

    def _close_block(self) -> Iterator[Piece]:
        if self._block_open:
            self._block_open = False
            yield Piece(Kind.BLANK, b"\n" if self._at_line_start else b"\n\n")

    def _end(self, end: StateChanged) -> Iterator[Piece]:
        if end.state not in (Release.STATE_SUCCEEDED, Release.STATE_FAILED, Release.STATE_CANCELLED):
            return
        yield from self._heading()
        yield from self._close_block()
        if self._allowed_failure and not _failed_for(end, self._allowed_failure):
            yield from self._gone_on()
        if end.state == Release.STATE_SUCCEEDED:
            yield from self._skips(len(self._runs))
        if end.state == Release.STATE_FAILED:
            yield _line(Kind.FAILURE, f"{self._what_failed(end)} failed. {_one_line(end.failure.message)}")
        if end.state == Release.STATE_CANCELLED:
            reason = f": {self._cancel_reason}" if self._cancel_reason else "."
            yield _line(Kind.FAILURE, f"Release cancelled{reason}")
        if never_ran := [run.label for run in self._runs[self._past :]]:
            yield _line(Kind.NOTE, f"Skipped: {', '.join(never_ran)}.")

    def _what_failed(self, end: StateChanged) -> str:
        index = end.failure.command_index
        if not end.failure.HasField("command_index") or index >= len(self._runs):
            return "Release"
        return _raised(self._runs[index].label)


def _failed_for(end: StateChanged, run: CommandRun) -> bool:
    return end.failure.HasField("command_index") and end.failure.command_index == run.index


def _line(kind: Kind, *lines: str) -> Piece:
    return Piece(kind, "".join(line + "\n" for line in lines).encode())


def _raised(label: str) -> str:
    return label[:1].upper() + label[1:]


def _sentence(text: str) -> str:
    line = _one_line(text)
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _one_line(text: str) -> str:
    return " ".join(text.split())
