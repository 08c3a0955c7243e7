"""A release as it was asked for: what runs, where, and in which container.

All of it may be stored and shown. What may not be (the values of environment
variables, registry credentials) is in `Secrets`, which lives in memory.
"""

import shlex
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import NamedTuple

import msgspec

from released.model.states import ContainerMode, OnBusy, PullPolicy, Source


class Target(NamedTuple):
    """A deployment target: an environment of an application. Its releases never overlap."""

    application: str
    environment: str

    def __str__(self) -> str:
        return f"{self.application}/{self.environment}"


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A release command: a human-readable label, and a shell line or an argv."""

    label: str
    line: str | None = None
    argv: tuple[str, ...] | None = None
    timeout: timedelta
    source: Source = Source.REQUEST
    allow_failure: bool = False
    """Whether the release goes on after an exit code other than 0."""
    rollback: str = ""
    """A shell line that undoes what it did; empty for none."""
    skip_reason: str = ""
    """Why it is not to be run; empty if it is."""
    done_in: str = ""
    """The id of the release in which it ran, if that is why: of one that a retry does not run again."""

    @property
    def shell_line(self) -> str:
        """What `/bin/sh -c` is given: the line as it is, an argv quoted into one."""
        return self.line if self.line is not None else shlex.join(self.argv or ())


def passed_over(commands: Sequence[Command], labels: Collection[str], reason: str) -> tuple[Command, ...]:
    """Return commands, those of these labels with the reason why they are not run."""
    return tuple(
        msgspec.structs.replace(command, skip_reason=reason) if command.label in labels else command
        for command in commands
    )


class Mount(msgspec.Struct, frozen=True, omit_defaults=True):
    """A path of the host or a named volume, mounted into the container."""

    source: str
    target: str
    read_only: bool = False


class Resources(msgspec.Struct, frozen=True, omit_defaults=True):
    """The container's limits; 0 for none."""

    memory_bytes: int = 0
    cpus: float = 0.0
    pids: int = 0


class Likeness(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a release has taken from a running container, by name."""

    container_id: str
    container_name: str
    environment_names: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    user: str = ""


class ReleaseSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a release runs, and how."""

    application: str
    environment: str
    image: str
    commands: tuple[Command, ...] = ()
    """What it runs; of one with `settings`, nothing until its image is there."""
    settings: tuple[Command, ...] | None = None
    """The commands of the application's settings, as they were, to be run behind what the image declares;
    None: the request says what runs."""
    has_settings: bool = False
    """Whether the application's settings have commands, be they disabled or for other environments."""
    skip_labels: tuple[str, ...] = ()
    """Of commands that are not to be run, where they are not known yet."""
    skip_reason: str = ""
    environment_names: tuple[str, ...] = ()
    environment_digests: tuple[str, ...] = ()
    """Of their values, in the same order (AuditKey.value_digests); none in what earlier versions stored."""
    secret_names: tuple[str, ...] = ()
    """Those of the environment whose values are masked."""
    networks: tuple[str, ...] = ()
    mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    user: str = ""
    working_dir: str = ""
    entrypoint: tuple[str, ...] | None = None
    pull_policy: PullPolicy = PullPolicy.MISSING
    release_timeout: timedelta | None = None
    on_busy: OnBusy = OnBusy.QUEUE
    request_id: str = ""
    requested_by: str = ""
    labels: dict[str, str] = {}
    container_mode: ContainerMode = ContainerMode.PER_RELEASE
    image_id: str = ""
    """What the image's name has to stand for; empty for whatever it does."""
    retry_of: str = ""
    """The id of the release that it tries again."""
    rollback_of: str = ""
    """The id of the release that it rolls back."""
    lock_groups: tuple[str, ...] = ()
    """While it is under way, no other release of one of these is."""
    likeness: Likeness | None = None

    @property
    def runs_nothing(self) -> bool:
        """Whether it is known that no command is to be run: the request names some, all to be skipped."""
        return self.settings is None and all(command.skip_reason for command in self.commands)

    @property
    def is_from_settings(self) -> bool:
        """Whether its commands are those of its image and of its application's settings, or were at first."""
        return self.settings is not None or any(
            command.source is not Source.REQUEST for command in self.commands
        )

    @property
    def target(self) -> Target:
        """The deployment target, whose lane the release waits in."""
        return Target(self.application, self.environment)


class RegistryAuth(msgspec.Struct, frozen=True, omit_defaults=True):
    """Credentials for a registry: a user name and password, or a token."""

    username: str = ""
    password: str = ""
    identity_token: str = ""

    def __repr__(self) -> str:
        return "RegistryAuth(…)"


class Secrets(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a release needs and nobody may store: never in the log, an event or an error."""

    environment: dict[str, str] = {}
    registry_auth: RegistryAuth | None = None

    @property
    def environment_bytes(self) -> int:
        """How much the variables take of what a process can have as arguments."""
        return sum(len(name.encode()) + len(value.encode()) for name, value in self.environment.items())

    def __bool__(self) -> bool:
        return bool(self.environment) or self.registry_auth is not None

    def __repr__(self) -> str:
        return "Secrets(…)"
