"""The line at the bottom of the terminal: what a release is doing, and for how long."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from releasephase.v1.release_event_pb2 import ImagePullProgress, ReleaseEvent, StateChanged
from releasephase.v1.release_pb2 import CommandRun, Release

from . import formatting
from .terminal_text import escape
from .words import seconds, seconds_between

_BAR_WIDTH = 24
_WIDE = 80
"""In a narrower terminal there is no bar."""
_LATE = 0.8
"""The share of its timeout after which a command is shown to be late."""


class _Doing(NamedTuple):
    """What there is to draw beside the spinner."""

    label: Text
    bar: ProgressBar | None
    facts: Text


class LiveLine:
    """Knows what one release is doing, from its events, and draws it.

    Args:
        now: Returns the seconds since the epoch: the daemon's clock is that of this host.
    """

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._spinner = Spinner("dots", style="cyan")
        self._release = Release()
        self._runs: Sequence[CommandRun] = ()
        self._since = now()
        self._doing = "waiting for the daemon"
        self._queue_position = 0
        self._pull: ImagePullProgress | None = None
        self._command: int | None = None
        self._usually: float | None = None
        """The median of the command, in seconds, if it is slow."""
        self._left_queue: Timestamp | None = None
        self._end: ReleaseEvent | None = None
        self.tail = ""
        """Output that has not ended in a newline yet; it is shown above the line."""

    def update(self, event: ReleaseEvent) -> None:
        """Take note of an event."""
        match event.WhichOneof("payload"):
            case "accepted":
                self._release = event.accepted.release
                self._runs = event.accepted.release.command_runs
                self._queue_position = event.accepted.release.queue_position
                self._begin(event, "queued")
            case "state_changed":
                self._enter(event, event.state_changed)
            case "image_pull_progress":
                self._pull = event.image_pull_progress
            case "image_resolved":
                self._pull = None
            case "commands_resolved":
                self._runs = event.commands_resolved.command_runs
            case "command_started":
                self._command = event.command_started.command_index
                self._begin(event, event.command_started.label)
            case "command_slow":
                self._usually = seconds(event.command_slow.median)
            case "command_finished":
                self._finish(event, event.command_finished.command_run)
            case "signal_sent":
                name = formatting.signal_name(event.signal_sent.signal)
                self._doing = f"stopping {self._label()} with {name}"
            case "progress_notice":
                self._queue_position = event.progress_notice.queue_position

    def drawn(self, width: int) -> RenderableType:
        """Return the line as it is now, with output that lacks its newline above it."""
        if self._end is not None:
            return Text()
        row = _fitted(self._spinner, self._doing_now(), width)
        if not self.tail:
            return row
        return Group(Text(self.tail, no_wrap=True, overflow="ellipsis"), row)

    def summary(self) -> Text | None:
        """Return the last word on the release, None as long as it has not ended."""
        if self._end is None:
            return None
        took = formatting.duration(
            seconds_between(self._left_queue or self._end.event_time, self._end.event_time)
        )
        name = self._end.release.removeprefix("releases/")
        match self._end.state_changed.state:
            case Release.STATE_SUCCEEDED:
                return Text.assemble(("✓", "green"), f" succeeded in {took}")
            case Release.STATE_FAILED:
                return Text.assemble(
                    ("✗", "red"), f" failed after {took}", (f"  releasectl show {name}", "dim")
                )
        return Text.assemble(("●", "magenta"), f" cancelled after {took}")

    def _enter(self, event: ReleaseEvent, change: StateChanged) -> None:
        if change.state == Release.STATE_PREPARING:
            self._left_queue = event.event_time
        elif change.state in (Release.STATE_SUCCEEDED, Release.STATE_FAILED, Release.STATE_CANCELLED):
            self._end = event
        self._queue_position = 0
        self._begin(event, Release.State.Name(change.state).removeprefix("STATE_").lower())

    def _finish(self, event: ReleaseEvent, run: CommandRun) -> None:
        # What is skipped never began, and may be said while the release is being prepared.
        if run.state != CommandRun.STATE_SKIPPED:
            self._command = None
            self._usually = None
            self._begin(event, "running")

    def _begin(self, event: ReleaseEvent, doing: str) -> None:
        self._doing = doing
        self._since = event.event_time.ToNanoseconds() / 1e9

    def _doing_now(self) -> _Doing:
        elapsed = max(0.0, self._now() - self._since)
        if self._pull is not None:
            return self._pulling(self._pull, elapsed)
        if self._command is not None:
            return self._running(self._command, elapsed)
        position = f"position {self._queue_position}  " if self._queue_position else ""
        return _Doing(Text(escape(self._doing)), None, Text(f"{position}{formatting.clock(elapsed)}", "dim"))

    def _running(self, index: int, elapsed: float) -> _Doing:
        runs = self._runs
        timeout = seconds(runs[index].timeout) if index < len(runs) else 0
        usually = self._usually
        style = "yellow" if usually is not None or elapsed > timeout * _LATE else "cyan"
        slow = f"  slow: usually {formatting.duration(usually)}" if usually is not None else ""
        limit = f" of {formatting.clock(timeout)}" if timeout else ""
        return _Doing(
            Text(escape(self._doing), "bold"),
            _bar(elapsed, timeout, style) if timeout else None,
            Text.assemble(
                formatting.clock(elapsed) + limit,
                (slow, "yellow"),
                (f"  command {index + 1} of {len(runs)}", "dim"),
            ),
        )

    def _pulling(self, pull: ImagePullProgress, elapsed: float) -> _Doing:
        done, total = formatting.size(pull.downloaded_bytes), formatting.size(pull.total_bytes)
        layers = f"{pull.layers_done} of {pull.layers} layers  " if pull.layers else ""
        return _Doing(
            Text(escape(f"pulling {self._release.image}")),
            _bar(pull.downloaded_bytes, pull.total_bytes, "cyan") if pull.total_bytes else None,
            Text.assemble(
                f"{done} of {total}  " if pull.total_bytes else "",
                (f"{layers}{formatting.clock(elapsed)}", "dim"),
            ),
        )

    def _label(self) -> str:
        index = self._command
        return self._runs[index].label if index is not None and index < len(self._runs) else ""


def _fitted(spinner: Spinner, doing: _Doing, width: int) -> RenderableType:
    bar = doing.bar if width >= _WIDE else None
    # Where it is narrow the label gives way, so that the time stays in sight.
    taken = 2 + (_BAR_WIDTH + 1 if bar else 0) + doing.facts.cell_len + 1
    doing.label.truncate(max(width - taken - 1, 8), overflow="ellipsis")
    cells: list[RenderableType] = [spinner, doing.label, *([bar] if bar else []), doing.facts]
    row = Table.grid(padding=(0, 1, 0, 0))
    for _ in cells:
        row.add_column(no_wrap=True)
    row.add_row(*cells)
    return row


def _bar(completed: float, total: float, style: str) -> ProgressBar:
    return ProgressBar(
        total,
        min(completed, total),
        width=_BAR_WIDTH,
        style="bright_black",
        complete_style=style,
        finished_style=style,
    )
