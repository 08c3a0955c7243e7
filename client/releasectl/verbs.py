"""What each verb of the command line does, once its arguments are understood."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import aclosing, contextmanager, nullcontext
from pathlib import Path
from typing import NamedTuple

import click
from google.protobuf.timestamp_pb2 import Timestamp

from releasephase.v1.audit_service_pb2 import VerifyAuditResponse
from releasephase.v1.release_event_pb2 import ReleaseEvent, StateChanged
from releasephase.v1.release_pb2 import Outcome, Release

from . import offline
from .backup import backed_up
from .client import ReleaseClient
from .drawing import draw, in_full, in_list
from .exceptions import Unavailable
from .exit_codes import ExitCode, of_end
from .formatting import plural, pruned, receipt, size
from .messages import drain_message, extent_text, unreachable_message
from .next_page import Page
from .options import Receipt, ReleaseOptions, RetryOptions, Target
from .selection import LineOptions, Selection
from .status_tables import group_table, lane_table, status_fields, stuck_fields
from .tables import command_remarks, command_table, history_table, problem_fields, release_fields
from .timeline import timeline_of
from .value_options import Values
from .views import View, choose_view, progress_bar, say, write_json, write_json_line
from .words import commands_unknown

_ENDED = (Release.STATE_SUCCEEDED, Release.STATE_FAILED, Release.STATE_CANCELLED)


async def run(
    client: ReleaseClient, target: Target, image: str, options: ReleaseOptions, *, detach: bool, as_json: bool
) -> ExitCode:
    """Start a release and follow it to its end."""
    try:
        release = await client.start_release(target, image, **options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except asyncio.CancelledError:
        say(f"interrupted; if it was accepted, you find it with: releasectl history {'/'.join(target)}")
        raise
    return await _see(client, release, detach=detach, as_json=as_json)


async def retry(
    client: ReleaseClient, name: str, options: RetryOptions, *, detach: bool, as_json: bool
) -> ExitCode:
    """Try a release again and follow that to its end."""
    try:
        release = await client.retry_release(name, **options)
    except asyncio.CancelledError:
        say("interrupted; if it was accepted, you find it with: releasectl history")
        raise
    return await _see(client, release, detach=detach, as_json=as_json)


async def _see(client: ReleaseClient, release: Release, *, detach: bool, as_json: bool) -> ExitCode:
    """Follow a release that was accepted just now, or only say its name."""
    if detach:
        write_json(release) if as_json else click.echo(release.name)
        return ExitCode.OK
    return await _follow_with_rollback(client, release.name, as_json=as_json)


async def watch(client: ReleaseClient, name: str, *, as_json: bool) -> ExitCode:
    """Follow a release to its end."""
    # A watch waits for a daemon that is away; without one to begin with, say so at once.
    await client.get_release(name)
    return await _follow_with_rollback(client, name, as_json=as_json)


async def logs(
    client: ReleaseClient, name: str, options: LineOptions, *, follow: bool, as_json: bool
) -> ExitCode:
    """Show the deployment log of a release as far as it has got, or to its end; or lines of its output."""
    release = await client.get_release(name)
    if options:
        await _lines(client, release, options, follow=follow, as_json=as_json)
        return ExitCode.OK
    view = choose_view(as_json=as_json, log_only=True)
    if follow:
        await _follow(client, name, view)
        return ExitCode.OK
    with view.opened():
        async with aclosing(client.watch_release(name)) as events:
            async for event in events:
                view.show(event)
                if event.sequence >= release.last_sequence:
                    break
    return ExitCode.OK


async def _lines(
    client: ReleaseClient, release: Release, options: LineOptions, *, follow: bool, as_json: bool
) -> None:
    from .line_views import choose_line_view, why_no_lines
    from .log_reading import read_lines

    if follow and commands_unknown(release):
        release = await _once_commands_are_known(client, release.name)
    try:
        selection = Selection(options, release)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    follow = follow and release.state not in _ENDED
    view = choose_line_view(
        release, timestamps=options.timestamps, with_label=options.command is None, as_json=as_json
    )
    with _saying_how_to_come_back(release.name) if follow else nullcontext():
        nothing_came = True
        reading = read_lines(client, release, selection, tail=options.tail, follow=follow)
        async with aclosing(reading) as lines:
            async for line in lines:
                nothing_came = False
                view.show(line)
                if follow:
                    view.flush()
        view.flush()
    if nothing_came and options.tail != 0:
        say(why_no_lines(release, selection))


async def _once_commands_are_known(client: ReleaseClient, name: str) -> Release:
    """Return a release as soon as it is known what it runs: lines are chosen and shown by that."""
    with _saying_how_to_come_back(name):
        async with aclosing(client.watch_release(name)) as events:
            async for event in events:
                if event.HasField("commands_resolved"):
                    break
    return await client.get_release(name)


async def history(
    client: ReleaseClient, filter: str, page: Page, *, order_by: str, as_json: bool
) -> ExitCode:
    """List releases, newest first if no other order is asked for."""
    found = await client.list_releases_page(
        filter, order_by=order_by, page_size=page.limit, page_token=page.token
    )
    if found.unreachable:
        say(unreachable_message(found.unreachable))
    if as_json:
        write_json(found)
        return ExitCode.OK
    if not found.releases:
        say("no releases")
    draw(history_table(found.releases, in_list()))
    if found.next_page_token:
        say(f"{'more' if order_by else 'older ones'}: {page.following(found.next_page_token)}")
    return ExitCode.OK


async def show(client: ReleaseClient, name: str, *, as_json: bool) -> ExitCode:
    """Show one release and its commands."""
    release = await client.get_release(name)
    if as_json:
        write_json(release)
        return ExitCode.OK
    now = Timestamp()
    now.GetCurrentTime()
    draw(
        release_fields(release, in_full()),
        command_table(release),
        command_remarks(release),
        timeline_of(release, now),
    )
    failed = release.failure
    if failed.HasField("command_index") and failed.command_index < len(release.command_runs):
        await _show_excerpt(client, release, release.failure.command_index)
    return ExitCode.OK


async def _show_excerpt(client: ReleaseClient, release: Release, command_index: int) -> None:
    from . import excerpt
    from .log_reading import last_lines

    lines = await last_lines(client, release, command_index, excerpt.LINES, excerpt.MOST_BYTES)
    if lines:
        sys.stdout.write("\n".join(["", *excerpt.excerpt(release, command_index, lines), ""]))
        sys.stdout.flush()


async def cancel(client: ReleaseClient, name: str, reason: str, *, as_json: bool) -> ExitCode:
    """Ask for a release to be cancelled."""
    release = await client.cancel_release(name, reason)
    if as_json:
        write_json(release)
    elif release.state in _ENDED:
        say(f"cancelled {name}")
    else:
        say(f"cancelling {name}; follow it with: releasectl watch {name}")
    return ExitCode.OK


async def outcome(
    client: ReleaseClient,
    name: str,
    result: str,
    reason: str,
    values: Values,
    *,
    run_rollback: bool,
    as_json: bool,
) -> ExitCode:
    """Report what became of a deployment, and have the release rolled back if that is asked for."""
    reported = Outcome.Value(f"OUTCOME_{result}")
    release = await client.report_outcome(name, reported, reason, run_rollback=run_rollback, **values)
    if as_json:
        write_json(release)
        return ExitCode.OK
    say(f"reported: {name} was {result.lower()}")
    if release.rollback:
        say(f"its rollback is {release.rollback}; follow that with: releasectl watch {release.rollback}")
    elif run_rollback:
        say("there is nothing to roll back")
    return ExitCode.OK


async def status(client: ReleaseClient, *, as_json: bool) -> ExitCode:
    """Show how the daemon is doing."""
    answer = await client.get_status()
    if as_json:
        write_json(answer)
    else:
        when = in_full()
        draw(status_fields(answer, when), lane_table(answer), group_table(answer), stuck_fields(answer, when))
    return ExitCode.OK


async def drain(client: ReleaseClient, *, as_json: bool) -> ExitCode:
    """Let the daemon finish what is under way and end."""
    left = None
    try:
        async with aclosing(client.drain()) as drain:
            async for progress in drain:
                write_json_line(progress) if as_json else say(drain_message(progress))
                left = progress.running_releases
    except asyncio.CancelledError:
        say("stopped watching; the daemon goes on to finish and end. Come back with: releasectl drain")
        raise
    if left != 0:
        raise Unavailable("the daemon stopped telling before it was done")
    return ExitCode.OK


async def verify(client: ReleaseClient, receipts: Iterable[Receipt], *, as_json: bool) -> ExitCode:
    """Let the daemon check its audit log, and list what is wrong with it."""
    return _show_verified(await client.verify_audit(receipts), as_json=as_json)


async def verify_offline(file: str, receipts: Iterable[Receipt], *, as_json: bool) -> ExitCode:
    """Check an audit log that no daemon has to be asked about, and list what is wrong with it."""
    return _show_verified(await offline.verify(file, receipts), as_json=as_json)


def _show_verified(found: VerifyAuditResponse, *, as_json: bool) -> ExitCode:
    """Show what verifying an audit log has found; return the exit code for it."""
    if as_json:
        write_json(found)
    else:
        if found.problems:
            draw(problem_fields(found))
        else:
            head = f" (receipt {receipt(found.head)})" if found.head.sequence else ""
            if found.extent.first_sequence:
                say(f"the export is sound: {extent_text(found)}{head}")
            else:
                say(f"the audit log is sound: {plural(found.event_count, 'event')}{head}")
        for pruning in found.prunings:
            say(pruned(pruning))
        for unchecked in found.unchecked_receipts:
            say(unchecked.description)
    if found.problems:
        return ExitCode.FAILED
    return ExitCode.UNCHECKED if found.unchecked_receipts else ExitCode.OK


async def backup(client: ReleaseClient, file: Path, *, force: bool) -> ExitCode:
    """Copy the audit log to a file of the caller's, while the daemon goes on."""
    if os.path.lexists(file) and not force:
        raise click.UsageError(f"{file} is there already: name another file, or replace it with --force")
    source = Path((await client.get_status()).audit.path)
    with progress_bar(f"copying {source}") as bar:
        copy = await backed_up(source, file, bar)
    say(f"copied {source} to {file}: {size(copy.size_bytes)}")
    if copy.sequence:
        say(f"the receipt of its newest event: {copy.sequence}:{copy.digest}")
    return ExitCode.OK


async def _follow(client: ReleaseClient, name: str, view: View) -> ExitCode:
    return of_end((await _end_of(client, name, view)).change)


async def _follow_with_rollback(client: ReleaseClient, name: str, *, as_json: bool) -> ExitCode:
    """Follow a release, and then its rollback, if it has failed and there is one; exit by the release."""
    end = await _end_of(client, name, choose_view(as_json=as_json))
    if end.may_be_undone:
        try:
            await _follow_rollback(client, name, as_json=as_json)
        except Unavailable as error:  # the result of the release is known all the same
            say(f"releasectl: {error}")
    return of_end(end.change)


async def _follow_rollback(client: ReleaseClient, name: str, *, as_json: bool) -> None:
    """Follow the rollback of a release, if there is one, and say how it ended."""
    if not (rollback := (await client.get_release(name)).rollback):
        return
    say(f"{name} is rolled back by {rollback}")
    end = await _end_of(client, rollback, choose_view(as_json=as_json))
    if end.change.state == Release.STATE_SUCCEEDED:
        say(f"{name} was rolled back")
    else:
        say(
            f"{name} was not rolled back as a whole; see what was: releasectl show {rollback}; "
            f"to go on with it: releasectl retry {rollback}"
        )


class _End(NamedTuple):
    """How a release ended that was followed."""

    change: StateChanged
    has_rollbacks: bool
    """Whether a command of it can be undone."""

    @property
    def may_be_undone(self) -> bool:
        return self.has_rollbacks and self.change.state == Release.STATE_FAILED


async def _end_of(client: ReleaseClient, name: str, view: View) -> _End:
    """Show a release to its end, and return that."""
    end, has_rollbacks = None, False
    with _saying_how_to_come_back(name), view.opened():
        async with aclosing(client.watch_release(name)) as events:
            async for event in events:
                view.show(event)
                end = _end(event) or end
                has_rollbacks = has_rollbacks or _tells_of_rollbacks(event)
    if end is None:
        raise Unavailable(f"the daemon stopped telling about {name} before it ended")
    return _End(end, has_rollbacks)


def _tells_of_rollbacks(event: ReleaseEvent) -> bool:
    runs = (*event.accepted.release.command_runs, *event.commands_resolved.command_runs)
    return any(run.rollback for run in runs)


@contextmanager
def _saying_how_to_come_back(name: str) -> Iterator[None]:
    try:
        yield
    except asyncio.CancelledError:
        say(f"stopped watching; the release goes on. Come back with: releasectl watch {name}")
        raise
    except Unavailable:
        say(f"the release may go on. Come back with: releasectl watch {name}")
        raise
    except BrokenPipeError:
        raise
    except OSError as error:
        reason = f"the log could not be written: {error.strerror}"
        raise Unavailable(
            f"{reason}. The release goes on; come back with: releasectl watch {name}"
        ) from error


def _end(event: ReleaseEvent) -> StateChanged | None:
    change = event.state_changed
    return change if change.state in _ENDED else None
