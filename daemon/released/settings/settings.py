"""Changing applications' settings: one change after the other, each on top of all before it."""

import asyncio
import logging
from collections.abc import Callable
from typing import NamedTuple

from released.audit.log import AuditLog
from released.crash import CrashPoint, crash_point
from released.errors import Aborted
from released.model.caller import Caller
from released.model.events import CommandsChanged
from released.model.settings import ApplicationSettings, CommandChange, Commands
from released.settings.edits import Edited

logger = logging.getLogger(__name__)


class Asked(NamedTuple):
    """A change that somebody asks for."""

    application: str
    edit: Callable[[Commands], Edited]
    """What is to be done with the commands that are there then."""
    caller: Caller
    etags: tuple[str, ...] = ()
    """What the change is based on; empty ones stand for whatever is there."""
    validate_only: bool = False
    """Whether to say what would be there, and record nothing."""


class Settings:
    """The one who decides about changes. A change belongs to nobody who calls: it is done in full."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._under_way: set[asyncio.Task[ApplicationSettings]] = set()

    async def change(self, asked: Asked) -> ApplicationSettings:
        """Record a change durably, and return what is there from then on; nothing is recorded of none.

        Raises Aborted for an etag that is no more the one, and what the edit raises.
        """
        task = asyncio.create_task(self._change(asked))
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def close(self) -> None:
        """Let the changes that are under way be done: the log takes or refuses each of them."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _change(self, asked: Asked) -> ApplicationSettings:
        # Whoever holds it is the only one who says what settings are: the lock is first come, first served.
        async with self._audit.settings_lock:
            before = await self._audit.query.settings(asked.application)
            for etag in asked.etags:
                _check_etag(etag, before, asked.application)
            edited = asked.edit(before.commands)
            if not edited.changes:
                return before
            if asked.validate_only:
                return ApplicationSettings(edited.commands, before.sequence)
            changed = CommandsChanged(
                application=asked.application,
                commands=edited.commands,
                caller=asked.caller,
                changes=edited.changes,
            )
            receipt = await self._audit.append_settings(changed)
            crash_point(CrashPoint.SETTINGS_STORED)
        what = ", ".join(map(_in_words, edited.changes))
        logger.info("%s changed the release commands of %s: %s", asked.caller, asked.application, what)
        return ApplicationSettings(edited.commands, receipt.sequence)

    def _forget(self, task: asyncio.Task[ApplicationSettings]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # nobody may be there any more to be told


def _check_etag(etag: str, settings: ApplicationSettings, application: str) -> None:
    if etag and etag != settings.etag:
        raise Aborted(
            "STALE_ETAG",
            f"the release commands of {application} have changed since: list them, and look at them again",
            {"etag": settings.etag},
        )


def _in_words(change: CommandChange) -> str:
    command = change.after or change.before
    label = command.label if command else ""
    return f"{label!r} {change.action.lower()}"
