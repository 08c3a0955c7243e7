"""What a caller says about a release, in plain Python types."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import NamedTuple, TypedDict

_RECEIPT = re.compile(r"(\d{1,18}):([0-9a-f]{64})", re.ASCII | re.IGNORECASE)


class Target(NamedTuple):
    """A deployment target: an environment of an application."""

    application: str
    environment: str

    @classmethod
    def parse(cls, text: str) -> Target:
        """Return the target written as ``application/environment``.

        Raises:
            ValueError: it is not written like that.
        """
        application, slash, environment = text.partition("/")
        if not (application and slash and environment) or "/" in environment:
            raise ValueError(f"a target is written APPLICATION/ENVIRONMENT, such as shop/live, not {text!r}")
        return cls(application, environment)


class Receipt(NamedTuple):
    """What proves later that an audit log still has an event, and all before it."""

    sequence: int
    digest: str
    """In hexadecimal."""

    @classmethod
    def parse(cls, text: str) -> Receipt:
        """Return the receipt written as ``sequence:digest``.

        Raises:
            ValueError: it is not written like that.
        """
        match = _RECEIPT.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                f"a receipt is written SEQUENCE:DIGEST, with 64 hexadecimal digits, not {text!r}"
            )
        return cls(int(match[1]), match[2].lower())


@dataclass(frozen=True, slots=True)
class Command:
    """One release command: a label, and either a shell line or an argv.

    Args:
        label: A human-readable label of one line.
        line: What /bin/sh shall run.
        argv: A program and its arguments, instead of `line`.
        timeout: How long it may run; None for the daemon's default of 30 minutes.
        allow_failure: Whether the release goes on after an exit code other than 0.
        rollback: A line for /bin/sh that undoes what it did; empty for none.

    Raises:
        ValueError: there is neither a line nor an argv, or both.
    """

    label: str
    line: str | None = None
    argv: Sequence[str] | None = None
    timeout: timedelta | None = None
    allow_failure: bool = False
    rollback: str = ""

    def __post_init__(self) -> None:
        if (self.line is None) == (self.argv is None):
            raise ValueError(f"the command {self.label!r} needs either a line or an argv")


@dataclass(frozen=True, slots=True)
class Mount:
    """A path of the host, or a volume of the engine, mounted into the container."""

    source: str
    """An absolute path on the host, or the name of a volume."""
    target: str
    """The absolute path in the container."""
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Resources:
    """The container's limits; 0 stands for the default of the operator's policy."""

    memory_bytes: int = 0
    cpus: float = 0.0
    """Processor time in cores: 1.5 is one and a half."""
    pids: int = 0
    """The number of processes and threads."""


@dataclass(frozen=True, slots=True)
class RegistryAuth:
    """Credentials for the image's registry: user name and password, or a token.

    The daemon never stores them, and their repr does not show them.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)


class PullPolicy(StrEnum):
    """When the image is pulled from its registry."""

    ALWAYS = "always"
    MISSING = "missing"
    NEVER = "never"


class OnBusy(StrEnum):
    """What becomes of a request whose target has a release under way."""

    QUEUE = "queue"
    """It waits for its turn."""
    REJECT = "reject"
    """It is refused with TargetBusy."""


class ContainerMode(StrEnum):
    """Which release commands share a container."""

    PER_RELEASE = "release"
    """All of a release do. The image needs a /bin/sh."""
    PER_COMMAND = "command"
    """Each has its own. An argv runs as it is, so that the image needs no shell."""


class ReleaseOptions(TypedDict, total=False):
    """The keyword arguments of `ReleaseClient.start_release` and `run_release`."""

    commands: Sequence[Command]
    """The release commands in the order in which they run; none for those that the image declares, then
    those in the application's settings."""
    skip_labels: Sequence[str]
    """Labels of commands that are not to be run."""
    skip_reason: str
    """Why not: one line, required with `skip_labels`."""
    env: Mapping[str, str]
    """Environment variables for all commands. The daemon stores their names only."""
    secrets: Mapping[str, str]
    """The same, marked as secret."""
    networks: Sequence[str]
    """The engine's networks to join; none for the engine's default."""
    mounts: Sequence[Mount]
    """What to mount."""
    resources: Resources
    """The container's limits."""
    user: str
    """``name|uid[:group|gid]``; empty for the image's own."""
    working_dir: str
    """An absolute path; empty for the image's own."""
    entrypoint: Sequence[str] | None
    """Replaces the image's entrypoint; empty for none at all, None for the image's own."""
    pull_policy: PullPolicy
    """When to pull the image; MISSING if not given."""
    registry_auth: RegistryAuth | None
    """Credentials for the image's registry."""
    release_timeout: timedelta | None
    """How long the release may take from leaving the queue on; None for no limit."""
    on_busy: OnBusy
    """What to do when the target is busy; QUEUE if not given."""
    request_id: str | None
    """A UUID that makes the call safe to repeat; a new one if not given."""
    requested_by: str
    """Who asks, as the caller claims."""
    labels: Mapping[str, str]
    """The caller's own labels."""
    container_mode: ContainerMode
    """Which commands share a container; PER_RELEASE if not given."""
    like_container: str
    """A running container, by name or id, whose variables, networks, mounts and user are taken as if they
    were given here; what is given here counts more. The operator's policy has to allow it."""
    validate_only: bool
    """Only plan, as `ReleaseClient.plan_release` does: nothing is started or stored."""


class RetryOptions(TypedDict, total=False):
    """The keyword arguments of `ReleaseClient.retry_release`."""

    from_start: bool
    """Whether to run all commands again, also those that have succeeded."""
    env: Mapping[str, str]
    """The variables of the release again, by the same names; those that were secret are so again."""
    secrets: Mapping[str, str]
    """The same, marked as secret."""
    registry_auth: RegistryAuth | None
    """Credentials for the image's registry."""
    request_id: str | None
    """A UUID that makes the call safe to repeat; a new one if not given."""
    requested_by: str
    """Who asks, as the caller claims."""
