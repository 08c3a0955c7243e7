"""The tables of the configuration file: every key, and its default."""

import os
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from released.config.access import AccessConfig
from released.config.lock_groups import LockGroups
from released.config.policy import PolicyTable

RESERVE_BYTES = 16 * 1024 * 1024
"""The default of `[audit] reserve`."""

Positive = Annotated[int, Meta(ge=1)]
LONGEST_SECONDS = 366 * 24 * 60 * 60.0
"""A year. TOML knows infinity, which no timer does."""

Seconds = Annotated[float, Meta(gt=0, le=LONGEST_SECONDS)]

LONGEST_DAYS = 100 * 366.0


class ServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[server]`: where the daemon is reached."""

    socket: Path = Path("/run/released/released.sock")
    """The Unix socket. Its folder also keeps, if in memory, the secrets of releases that have not ended."""
    max_connections_per_user: Positive = 200
    """How many connections a user may have at once. It does not hold for root and the daemon's own user."""

    @property
    def inner_socket(self) -> Path:
        """Where gRPC itself listens, in a folder that only the daemon may enter."""
        return self.socket.with_name(f"{self.socket.name}.inner") / "grpc.sock"


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[engine]`: the container engine."""

    url: str = ""
    """`unix:///path` or `tcp://host:port`; empty for DOCKER_HOST, then Docker's own socket."""
    log_driver: str = "local"
    """The log driver of release containers, whatever the engine's default is."""
    control_timeout: Seconds = 60.0
    """How long a call other than a pull or an attachment may take, in seconds."""
    patience: Seconds = 120.0
    """How long a release waits for an engine that has gone away, in seconds."""


class Keep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How much of something is kept. What goes beyond one of the limits is removed, oldest first."""

    days: Annotated[float, Meta(gt=0, le=LONGEST_DAYS)] | None = None
    """For how long; None: for ever."""
    bytes: Positive | None = None
    """How much of it; None: however much it is."""

    @property
    def age(self) -> timedelta | None:
        """`days` as a duration."""
        return None if self.days is None else timedelta(days=self.days)


class AuditConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[audit]`: the audit log."""

    path: Path = Path("/var/lib/released/audit.db")
    """The SQLite database."""
    output_cap: Positive = 256 * 1024 * 1024
    """How many bytes of a command's output are kept, besides the last 64 KiB."""
    reserve: Annotated[int, Meta(ge=1024 * 1024)] = RESERVE_BYTES
    """How many bytes of the disk are kept for results; while they are not there, new releases are refused."""
    keep_output: Keep = Keep()
    """What containers wrote, counted as it is stored: compressed."""
    keep_events: Keep = Keep()
    """All of the log, counted as the database's pages that are in use."""


class ReleasesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[releases]`: how releases are run. All durations are in seconds."""

    max_concurrent: Positive = 16
    """How many releases may be under way at once, over all deployment targets."""
    max_queued: Positive = 20
    """How many releases of a deployment target may wait behind the one whose turn it is."""
    command_timeout: Seconds = 30 * 60.0
    """How long a command may run that says nothing else."""
    stop_grace: Annotated[float, Meta(ge=0, le=LONGEST_SECONDS)] = 10.0
    """How long a command has between SIGTERM and SIGKILL."""
    start_timeout: Seconds = 5 * 60.0
    """How long a container may take from its start until its entrypoint hands over."""
    pull_timeout: Seconds = 30 * 60.0
    """How long a pull may take."""
    queue_timeout: Seconds = 24 * 60 * 60.0
    """How long a release may wait for its turn."""
    read_procfile: bool = False
    """Whether to take the line `release:` of the Procfile in an image if nothing else declares commands."""
    orphan_grace: Annotated[float, Meta(ge=1, le=LONGEST_SECONDS)] = 60.0
    """How long a container of ours is left alone that belongs to no release under way."""

    @property
    def default_command_timeout(self) -> timedelta:
        """`command_timeout` as a duration."""
        return timedelta(seconds=self.command_timeout)


class MetricsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[metrics]`: a file for Prometheus."""

    path: Path | None = None
    """A file in the folder of node_exporter's textfile collector; none: there are no metrics."""
    interval: Annotated[float, Meta(ge=1, le=LONGEST_SECONDS)] = 15.0
    """How often it is written, in seconds."""


class RegistryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[registry]`: where images are pulled from."""

    config: Path | None = None
    """A file like Docker's config.json with credentials; none: systemd's credential registry-config."""


class SecretsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[secrets]`: what is masked."""

    names: tuple[str, ...] = (
        "*TOKEN*",
        "*PASSWORD*",
        "*PASSWD*",
        "*PASSPHRASE*",
        "*SECRET*",
        "*KEY*",
        "*CREDENTIAL*",
    )
    """Patterns of the names of variables, in any case, whose values are secret without being marked."""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """The whole configuration."""

    server: ServerConfig = ServerConfig()
    engine: EngineConfig = EngineConfig()
    audit: AuditConfig = AuditConfig()
    releases: ReleasesConfig = ReleasesConfig()
    access: AccessConfig = msgspec.field(default_factory=AccessConfig)
    """Never one that another configuration has, too: it keeps what it has looked up."""
    metrics: MetricsConfig = MetricsConfig()
    policy: dict[str, PolicyTable] = {}
    """By the pattern of targets that it is for, or `default`."""
    registry: RegistryConfig = RegistryConfig()
    secrets: SecretsConfig = SecretsConfig()
    lock_groups: dict[str, tuple[str, ...]] = {}
    """By name: patterns of targets, and `group:NAME` for all targets of another group."""

    @cached_property
    def groups(self) -> LockGroups:
        """What `lock_groups` comes to; raises BadKey, but not for what was loaded."""
        return LockGroups(self.lock_groups)

    @property
    def engine_url(self) -> str:
        """Where the engine is reached: what the file says, else DOCKER_HOST, else Docker's socket."""
        return self.engine.url or os.environ.get("DOCKER_HOST") or "unix:///run/docker.sock"
