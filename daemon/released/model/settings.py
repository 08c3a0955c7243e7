"""The release commands in an application's settings, and changes of them."""

from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum

import msgspec

from released.model.release import Command
from released.model.states import Source


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

    def runs_in(self, environment: str) -> bool:
        """Whether releases of an environment run it."""
        return not self.disabled and (not self.environments or environment in self.environments)


Commands = tuple[SettingsCommand, ...]
"""All commands in an application's settings, in the order in which they run."""


class ApplicationSettings(msgspec.Struct, frozen=True):
    """What an application's settings are, by the event of the last change; sequence 0: there was none yet."""

    commands: Commands = ()
    sequence: int = 0

    @property
    def etag(self) -> str:
        """What stands for all of it, as it is."""
        return str(self.sequence)


def effective_commands(
    commands: Iterable[SettingsCommand], environment: str, default_timeout: timedelta
) -> tuple[Command, ...]:
    """Return what settings add to a release of an environment."""
    return tuple(
        Command(
            label=command.label,
            line=command.line,
            argv=command.argv,
            timeout=default_timeout if command.timeout is None else command.timeout,
            source=Source.SETTINGS,
            allow_failure=command.allow_failure,
            rollback=command.rollback,
        )
        for command in commands
        if command.runs_in(environment)
    )


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
