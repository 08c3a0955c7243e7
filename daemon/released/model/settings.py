"""The release commands in an application's settings, and changes of them."""

from datetime import timedelta
from enum import StrEnum

import msgspec


class SettingsCommand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A release command in an application's settings. Its place is the one that it has among the others."""

    command_id: str
    """A UUID, which stays when the label changes."""
    label: str
    line: str | None = None
    argv: tuple[str, ...] | None = None
    timeout: timedelta | None = None
    """How long it may run; None: as long as the daemon allows by default, when it runs."""
    environments: tuple[str, ...] = ()
    """In whose releases it runs; none for all."""
    allow_failure: bool = False
    rollback: str = ""
    disabled: bool = False


class Action(StrEnum):
    """What was done to a command."""

    ADDED = "ADDED"
    EDITED = "EDITED"
    MOVED = "MOVED"
    REMOVED = "REMOVED"


class CommandChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was done to one command: how it was before and after, each with its position, counted from 1."""

    action: Action
    before: SettingsCommand | None = None
    before_position: int = 0
    after: SettingsCommand | None = None
    after_position: int = 0
