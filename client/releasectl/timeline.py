"""When each part of a release ran, on one axis of time. Pure: a release in, rows of words out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp

from releasephase.v1.release_pb2 import CommandRun, Release

from . import formatting

SHORTEST = 10
"""Cells that the axis has at least."""


class Part(NamedTuple):
    """A part of a release: its wait in the queue, its preparation, or one of its commands."""

    number: str
    """A command's place, counted from 1; empty for what is no command."""
    name: str
    state: str
    begin: float
    """Seconds after the release was accepted."""
    seconds: float | None
    """How long it took, so far; None for a command that has not started."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """The parts of a release in their order, and the time from its acceptance to its end, or to now."""

    parts: tuple[Part, ...]
    seconds: float

    def bar(self, part: Part, width: int) -> tuple[int, int]:
        """Return where a part's bar begins on an axis of `width` cells, and how many it has.

        What has started has one cell at least, and none is outside of the axis.
        """
        if part.seconds is None:
            return 0, 0
        scale = width / self.seconds if self.seconds else 0
        begin = min(int(part.begin * scale), width - 1)
        end = min(round((part.begin + part.seconds) * scale), width)
        return begin, max(1, end - begin)


def timeline_of(release: Release, now: Timestamp) -> Timeline:
    """Return the timeline of a release, at a moment that counts where it has not ended."""
    end = release.end_time if release.HasField("end_time") else now
    parts = tuple(_parts(release, end))
    last = max((part.begin + part.seconds for part in parts if part.seconds is not None), default=0.0)
    return Timeline(parts, max(last, _after(release, end)))


def timeline_rows(timeline: Timeline, width: int, mark: str) -> list[tuple[str, str, str, str]]:
    """Return the axis, then a row for each part: number, name, how long, and a bar of `mark` below the axis.

    The axis has `width` cells, or SHORTEST.
    """
    width = max(width, SHORTEST)
    axis = "0s" + formatting.duration(timeline.seconds).rjust(width - 2)
    rows = [("NO", "PART", "TOOK", axis)]
    for part in timeline.parts:
        took = "-" if part.seconds is None else formatting.duration(part.seconds)
        offset, length = timeline.bar(part, width)
        rows.append((part.number or "-", part.name, took, " " * offset + mark * length))
    return rows


def _parts(release: Release, end: Timestamp) -> Iterator[Part]:
    started = release.start_time if release.HasField("start_time") else end
    yield Part("", "queue", "QUEUED", 0.0, _after(release, started))
    if release.HasField("start_time"):
        first = min(
            (_after(release, run.start_time) for run in release.command_runs if run.HasField("start_time")),
            default=_after(release, end),
        )
        begin = _after(release, started)
        yield Part("", "preparing", "PREPARING", begin, max(0.0, first - begin))
    for number, run in enumerate(release.command_runs, 1):
        yield _command(release, run, number, end)


def _command(release: Release, run: CommandRun, number: int, end: Timestamp) -> Part:
    state = CommandRun.State.Name(run.state).removeprefix("STATE_")
    if not run.HasField("start_time"):
        return Part(str(number), run.label, state, 0.0, None)
    begin = _after(release, run.start_time)
    ended = _after(release, run.end_time if run.HasField("end_time") else end)
    return Part(str(number), run.label, state, begin, max(0.0, ended - begin))


def _after(release: Release, time: Timestamp) -> float:
    """Return the seconds from a release's acceptance to a time; 0 if the clock was turned back."""
    begin = release.create_time
    return max(0.0, time.seconds - begin.seconds + (time.nanos - begin.nanos) / 1e9)
