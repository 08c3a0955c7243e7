"""Reads lines of a release's output from the daemon: all of them, as they come, or the last ones only."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from releasephase.v1.release_pb2 import Release

from .client import ReleaseClient
from .last_lines import LastLines
from .lines import Line, Lines, Stream
from .selection import Selection
from .stored_output import as_watched, output_filter

_AT_ONCE = 32
"""So many events are asked for at once: each has 64 KiB of output at most."""


async def read_lines(
    client: ReleaseClient, release: Release, selection: Selection, *, tail: int | None, follow: bool
) -> AsyncGenerator[Line]:
    """Yield the lines that a selection takes: the last `tail` that there were, None for all of them.

    With `follow` it goes on to the release's end; without, to what there was when `release` was read.
    """
    lines = Lines(selection.wants)
    newest = release.last_sequence
    if tail is not None:
        find = _last_that_match if selection.has_pattern else _last
        for line in await find(client, release, selection, lines, tail, follow=follow):
            yield line
    if tail is None or follow:
        after, up_to = (0 if tail is None else newest), (None if follow else newest)
        async with aclosing(_forwards(client, release, lines, after, up_to)) as following:
            async for line in following:
                if selection.takes(line):
                    yield line
        for line in filter(selection.takes, lines.finish()):
            yield line


async def last_lines(
    client: ReleaseClient, release: Release, command_index: int, count: int, most_bytes: int
) -> list[Line]:
    """Return the last lines of a command; where they are among the last `most_bytes` of its output."""
    last = LastLines(count, lambda index, _: index == command_index, most_bytes)
    await _read_backwards(client, release, last, command_index, None)
    return last.lines()


async def _forwards(
    client: ReleaseClient, release: Release, lines: Lines, after: int, up_to: int | None
) -> AsyncGenerator[Line]:
    async with aclosing(client.watch_release(release.name, after)) as events:
        async for event in events:
            for line in lines.feed(event):
                yield line
            if up_to is not None and event.sequence >= up_to:
                break


async def _last_that_match(
    client: ReleaseClient, release: Release, selection: Selection, lines: Lines, count: int, *, follow: bool
) -> Iterable[Line]:
    """Read all that there is: where the lines are that match, nobody knows before."""
    kept = _Kept(count)
    async with aclosing(_forwards(client, release, lines, 0, release.last_sequence)) as found:
        async for line in found:
            if selection.takes(line):
                kept.add(line)
    if not follow:
        for line in filter(selection.takes, lines.finish()):
            kept.add(line)
    return kept.lines


async def _last(
    client: ReleaseClient, release: Release, selection: Selection, lines: Lines, count: int, *, follow: bool
) -> Iterable[Line]:
    last = LastLines(count, selection.wants)
    await _read_backwards(client, release, last, selection.only_command, selection.only_stream)
    if not follow:
        return last.lines()
    ended, unended = last.lines_so_far()
    for line in unended:
        lines.resume(line)
    return ended


class _Kept:
    """The last lines of those that were added, and between them what is missing."""

    def __init__(self, count: int) -> None:
        self.lines: deque[Line] = deque()
        self._room = count

    def add(self, line: Line) -> None:
        self.lines.append(line)
        self._room -= not line.gap
        while self._room < 0:
            self._room += not self.lines.popleft().gap


async def _read_backwards(
    client: ReleaseClient, release: Release, last: LastLines, command_index: int | None, stream: Stream | None
) -> None:
    """Give `last` what a release wrote, newest first, until it has its lines.

    The daemon looks for what one command wrote, or to one stream, if that is given.
    """
    filter, page_token = output_filter(release.last_sequence, command_index, stream), ""
    while not last.is_complete():
        page = await client.list_events_page(
            release.name, filter, order_by="sequence desc", page_size=_AT_ONCE, page_token=page_token
        )
        for event in page.events:
            last.add(as_watched(event))
        if not (page_token := page.next_page_token):
            break
