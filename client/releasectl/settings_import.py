"""The verb `commands import`: from another platform's file into an application's settings."""

from __future__ import annotations

import re
import sys
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from releasephase.v1.command_service_pb2 import Command, ListCommandsResponse

from .client import ReleaseClient
from .drawing import draw
from .exceptions import InvalidRequest, Violation
from .exit_codes import ExitCode
from .formatting import plural
from .imports.fields import listed
from .imports.formats import FORMATS
from .imports.found import Found, ImportFailed
from .imports.names import SAY_WHAT_IT_IS, recognise
from .option_names import SETTINGS
from .running import run_alone
from .settings_merge import Fate, Merged, merge, twins
from .settings_refusals import explaining_what_is_stale
from .settings_tables import merge_fields
from .views import say, write_json

_NUMBERED = re.compile(r"^commands\[(\d+)\]\.")
LARGEST_FILE = 1 << 20
"""Bytes: what is larger was not written for any of these platforms."""


class Source(NamedTuple):
    """What is to be imported."""

    file: Path | None
    """None for stdin, which has no name to tell its format."""
    format: str | None = None
    """One of FORMATS; None for the one that the file's name tells."""
    service: str = ""
    """Which of its services; empty for the only one that can be meant."""
    label: str | None = None
    """What to call the command instead of what the format calls it."""

    def __str__(self) -> str:
        return "stdin" if self.file is None else str(self.file)


def import_file(
    application: str, source: Source, if_etag: str | None, *, dry_run: bool, as_json: bool
) -> ExitCode:
    """Take over the release commands in a file. It is read, all of it, before the daemon is asked."""

    def verb() -> Coroutine[Any, Any, ExitCode]:
        # Here, since there is no event loop yet: in one, nothing would interrupt the reading of a pipe.
        found = found_in(source)
        return _imported(application, source, found, if_etag, dry_run=dry_run, as_json=as_json)

    try:
        return run_alone(verb, SETTINGS)
    except ImportFailed as failed:
        say(f"releasectl: {source}: {failed}")
        return ExitCode.USAGE


def found_in(source: Source) -> Found:
    """Return what a file has of release commands.

    Raises:
        ImportFailed: it has none, or is not what its name says.
        OSError: it can't be read.
    """
    found = FORMATS[source.format or _format(source.file)].read(_text(source.file), source.service)
    return found if source.label is None else found.labelled(source.label)


def _format(file: Path | None) -> str:
    if file is None:
        raise ImportFailed(f"has no name to tell what it is: {SAY_WHAT_IT_IS}")
    return recognise(file.name)


def _text(file: Path | None) -> str:
    with _opened(file) as stream:
        data = stream.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ImportFailed(f"is larger than {LARGEST_FILE} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ImportFailed(f"is not UTF-8, from byte {error.start + 1} on") from None


def _opened(file: Path | None) -> AbstractContextManager[BinaryIO]:
    if file is not None:
        return file.open("rb")
    if sys.stdin is None:
        raise ImportFailed("is closed")
    return nullcontext(sys.stdin.buffer)


async def _imported(
    application: str, source: Source, found: Found, if_etag: str | None, *, dry_run: bool, as_json: bool
) -> ExitCode:
    for note in found.notes:
        say(f"{source}: {note.place}: {note.text}")
    if found.others:
        say(f"{source}: not taken: {listed(found.others)}")
    async with ReleaseClient() as client:
        return await _import(client, application, source, found, if_etag, dry_run=dry_run, as_json=as_json)


async def _import(
    client: ReleaseClient,
    application: str,
    source: Source,
    found: Found,
    if_etag: str | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> ExitCode:
    settings = await client.list_commands(application)
    merged = merge(settings.commands, [each.command for each in found.commands])
    for added, other in twins(merged):
        say(f"{added.label!r} runs the same as {other.label!r}: --label can put it in the place of that one")
    result = ListCommandsResponse(commands=[each.after for each in merged], etag=settings.etag)
    changes = any(each.fate in (Fate.ADDED, Fate.CHANGED) for each in merged)
    if changes:
        with _saying_where(_places(source, found, merged)):
            async with explaining_what_is_stale(client, application, if_etag):
                replaced = await client.replace_commands(
                    application,
                    [each.after for each in merged],
                    etag=if_etag or settings.etag,
                    validate_only=dry_run,
                )
        result = result if dry_run else replaced
    if as_json:
        write_json(result)
    else:
        draw(merge_fields(merged))
        say(_conclusion(application, result.commands, changes=changes, dry_run=dry_run))
    return ExitCode.OK


def _places(source: Source, found: Found, merged: list[Merged]) -> list[str]:
    """Where each command comes from, for a person."""
    in_file = {each.command.label: f"{source}: {each.place}" for each in found.commands}
    return [in_file.get(each.after.label, f"the command {each.after.label!r}") for each in merged]


@contextmanager
def _saying_where(places: Sequence[str]) -> Iterator[None]:
    """Name what the daemon refuses by its place, not by its number in a request that nobody has seen."""
    try:
        yield
    except InvalidRequest as refused:
        refused.violations = tuple(
            Violation(_NUMBERED.sub(lambda match: f"{places[int(match[1])]}: ", field), description)
            for field, description in refused.violations
        )
        raise


def _conclusion(application: str, commands: Sequence[Command], *, changes: bool, dry_run: bool) -> str:
    if not changes:
        return f"nothing was changed: {application} has all of it already"
    count = plural(len(commands), "command")
    if dry_run:
        return f"nothing was changed: without --dry-run, {application} would have {count}"
    return f"{application} has {count} now"
