"""What is said when a change of an application's settings is refused."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from releasephase.v1.command_service_pb2 import DeclaredCommands
from releasephase.v1.release_pb2 import CommandRun

from . import formatting
from .client import ReleaseClient
from .exceptions import ReleasephaseError, StaleEtag
from .settings_tables import action_text


@asynccontextmanager
async def explaining_what_is_stale(
    client: ReleaseClient, application: str, if_etag: str | None
) -> AsyncIterator[None]:
    """Say what somebody else has changed meanwhile, and what to do, in the StaleEtag of a change.

    Args:
        client: Is asked for the newest change.
        application: Whose settings were to be changed.
        if_etag: What the caller has given as `--if-etag`.
    """
    try:
        yield
    except StaleEtag as error:
        message = (
            f"the settings of {application} were changed meanwhile, and this was not done. "
            f"{await _newest_change(client, application)}{_what_to_do(application, if_etag)}"
        )
        raise StaleEtag(message, code=error.code, reason=error.reason, metadata=error.metadata) from None


def what_of_declared(label: str, declared: DeclaredCommands, application: str) -> str:
    """Return why a command can't be changed here that an image has declared, and what can be done."""
    if declared.source == CommandRun.SOURCE_PROCFILE:
        origin, place = f"the Procfile of the image {declared.image}", "that file"
    else:
        origin, place = f"the image {declared.image}", "its label releasephase.commands"
    return (
        f"{label!r} is declared by {origin}, and is not in the settings of {application}: "
        f"change it in {place} and build a new image, or let one release pass it over with "
        f"releasectl run --skip {shlex.quote(label)} --reason TEXT"
    )


async def _newest_change(client: ReleaseClient, application: str) -> str:
    """Return a sentence about the newest change; empty if nothing is known of it."""
    try:
        page = await client.list_command_changes_page(application, page_size=2)
    except ReleasephaseError:
        return ""
    if not page.changes:
        return ""
    newest, *others = page.changes
    more = " and more" if any(each.sequence == newest.sequence for each in others) else ""
    who = f", by {formatting.caller_name(newest.caller)}" if newest.HasField("caller") else ""
    return (
        f"The newest change: {action_text(newest)}{more}{who}, at {formatting.iso_time(newest.event_time)}. "
    )


def _what_to_do(application: str, if_etag: str | None) -> str:
    if if_etag is None:
        return f"Look at releasectl commands list {application}, then try again"
    return (
        f"Read them and their etag again with releasectl commands list {application} --json, and decide anew"
    )
