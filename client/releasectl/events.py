"""What `releasectl audit events` and `releasectl audit export` do."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import NamedTuple

import click

from releasephase.v1.audit_service_pb2 import AuditEvent

from .client import ReleaseClient
from .drawing import draw, in_list
from .exceptions import FailedPrecondition, InvalidRequest
from .exit_codes import ExitCode
from .export_file import ExportFile, Last
from .export_lines import export_line
from .formatting import plural, span
from .next_page import Page
from .tables import event_table
from .views import say, write_json_line


async def events(client: ReleaseClient, release: str, filter: str, page: Page, *, as_json: bool) -> ExitCode:
    """List the newest events that fit, in the order in which they happened."""
    found = await client.list_events_page(
        release, filter, order_by="sequence desc", page_size=page.limit, page_token=page.token
    )
    in_order = found.events[::-1]
    if as_json:
        for event in in_order:
            write_json_line(event)
    elif in_order:
        draw(event_table(in_order, in_list()))
    else:
        say("no events")
    if found.next_page_token:
        say(f"older ones: {page.following(found.next_page_token)}")
    return ExitCode.OK


class Written(NamedTuple):
    """Which events an export has written."""

    last: int
    """Or the one after which it began."""
    first: int = 0
    event_count: int = 0

    def with_event(self, sequence: int) -> Written:
        """With one more."""
        return Written(sequence, self.first or sequence, self.event_count + 1)

    def __str__(self) -> str:
        events = plural(self.event_count, "event")
        return f"{events} ({self.first:,} to {self.last:,})" if self.event_count else events


async def export(client: ReleaseClient, file: Path | None, after: int | None, *, output: bool) -> ExitCode:
    """Write events as lines of JSON to stdout, or to a file that goes on where it ended."""
    if file is None:
        written = Written(after or 0)
        events = client.export_events(written.last, with_output=output)
        async with aclosing(_told(events, written.last)) as exported:
            async for event in exported:
                sys.stdout.buffer.write(export_line(event))
                written = written.with_event(event.sequence)
        sys.stdout.flush()
        say(f"{written}; go on with: releasectl audit export --after {written.last}")
        return ExitCode.OK
    try:
        exporting = ExportFile(file)
    except ValueError as error:
        raise click.UsageError(f"{file} can't be gone on with: {error}") from None
    with exporting:
        written = await _append(client, exporting, file, after, output=output)
    say(f"{written} written to {file}, which goes to event {written.last:,}")
    return ExitCode.OK


async def _append(
    client: ReleaseClient, exporting: ExportFile, file: Path, after: int | None, *, output: bool
) -> Written:
    """Return which events were added."""
    last = exporting.last
    if last and after is not None:
        raise click.UsageError(f"{file} goes on after event {last.sequence:,}: leave out --after")
    # The last event once more: it shows that this is the log that the file is of.
    begin = last.sequence - 1 if last else after or 0
    written = Written(last.sequence if last else begin)
    events = client.export_events(begin, with_output=output)
    following = _after(events if last else _told(events, begin), last, file)
    try:
        async with aclosing(following) as exported:
            async for event in exported:
                exporting.write(export_line(event))
                written = written.with_event(event.sequence)
    except InvalidRequest:  # the log does not go as far as the file
        if last:
            raise _another_log(last, file) from None
        raise
    return written


async def _told(exported: AsyncGenerator[AuditEvent], sequence: int) -> AsyncGenerator[AuditEvent]:
    """Yield the events after a sequence, and say so where some of them are gone."""
    async with aclosing(exported):
        async for event in exported:
            if event.sequence > sequence + 1:
                say(f"pruned, and so left out: {span(sequence + 1, event.sequence - 1)}")
            yield event
            sequence = event.sequence


async def _after(
    exported: AsyncGenerator[AuditEvent], last: Last | None, file: Path
) -> AsyncGenerator[AuditEvent]:
    """Yield the events behind the last one of a file. Raises FailedPrecondition if they don't follow it."""
    nothing_came = True
    async with aclosing(exported):
        async for event in exported:
            nothing_came = False
            if (event.sequence, event.digest) == last:
                continue
            if last and (event.sequence, event.previous_digest) != (last.sequence + 1, last.digest):
                raise _another_log(last, file)
            yield event
            last = Last(event.sequence, event.digest)
    if last and nothing_came:
        raise _another_log(last, file)


def _another_log(last: Last, file: Path) -> FailedPrecondition:
    return FailedPrecondition(
        f"{file} ends with event {last.sequence:,}, and this log has nothing that follows it: it is of "
        "another log, or what came next was pruned. Export to another file"
    )
