"""The daemon in the test's own event loop, built by its composition root, and a client for its contract."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration

from released.app import running
from released.config import (
    AccessConfig,
    AuditConfig,
    Config,
    Configuration,
    EngineConfig,
    MetricsConfig,
    MountRule,
    PolicyTable,
    RegistryConfig,
    ReleasesConfig,
    ServerConfig,
)
from releasephase.v1 import (
    audit_service_pb2_grpc,
    command_service_pb2_grpc,
    daemon_service_pb2_grpc,
    release_pb2,
    release_service_pb2,
    release_service_pb2_grpc,
)
from releasephase.v1.daemon_service_pb2 import DaemonStatus, GetStatusRequest
from releasephase.v1.release_event_pb2 import CommandOutput, ReleaseEvent
from releasephase.v1.release_pb2 import CommandRun, Release
from releasephase.v1.release_service_pb2 import ReleaseCommand, StartReleaseRequest
from support.docker_engine import Engine

STDOUT = CommandOutput.STREAM_STDOUT
STDERR = CommandOutput.STREAM_STDERR

ANY_MOUNT = (
    MountRule("/**", "/**", read_only=False),
    MountRule("*", "/**", read_only=False),
)
"""What tests that are about something else allow: any path and any volume, anywhere, to be written."""


@dataclass(frozen=True)
class Outcome:
    """A release that has ended, and everything that was told of it."""

    release: Release
    events: list[ReleaseEvent]

    @property
    def state(self) -> str:
        return Release.State.Name(self.release.state).removeprefix("STATE_")

    @property
    def cause(self) -> str:
        return release_pb2.Failure.Cause.Name(self.release.failure.cause).removeprefix("CAUSE_")

    @property
    def message(self) -> str:
        return self.release.failure.message

    @property
    def command_states(self) -> list[str]:
        return [CommandRun.State.Name(run.state).removeprefix("STATE_") for run in self.release.command_runs]

    @property
    def kinds(self) -> list[str]:
        """What happened, in order; output apart, which may come in any number of pieces."""
        kinds = [str(event.WhichOneof("payload")) for event in self.events]
        return [kind for kind in kinds if kind != "command_output"]

    def output(self, index: int | None = 0, stream: CommandOutput.Stream.ValueType | None = None) -> bytes:
        """What a command (None: no command) wrote, in one stream or (None) in both."""
        pieces = [event.command_output for event in self.events if event.HasField("command_output")]
        return b"".join(
            piece.data
            for piece in pieces
            if (piece.command_index if piece.HasField("command_index") else None) == index
            and stream in (None, piece.stream)
        )


@dataclass(frozen=True)
class App:
    """A running daemon."""

    folder: Path
    configuration: Configuration
    channel: grpc.aio.Channel
    image: str
    stub: release_service_pb2_grpc.ReleaseServiceAsyncStub = field(init=False)
    daemon: daemon_service_pb2_grpc.DaemonServiceAsyncStub = field(init=False)
    audit: audit_service_pb2_grpc.AuditServiceAsyncStub = field(init=False)
    commands: command_service_pb2_grpc.CommandServiceAsyncStub = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "stub", release_service_pb2_grpc.ReleaseServiceStub(self.channel))
        object.__setattr__(self, "daemon", daemon_service_pb2_grpc.DaemonServiceStub(self.channel))
        object.__setattr__(self, "audit", audit_service_pb2_grpc.AuditServiceStub(self.channel))
        object.__setattr__(self, "commands", command_service_pb2_grpc.CommandServiceStub(self.channel))

    @property
    def config(self) -> Config:
        """What counts now."""
        return self.configuration.current

    def reconfigure(self, table: str, **values: Any) -> None:
        """Let these keys of a table count from now on, as a reload does."""
        changed = msgspec.structs.replace(getattr(self.config, table), **values)
        self.configuration.replace(msgspec.structs.replace(self.config, **{table: changed}))

    def request(self, *lines: str, **fields: Any) -> StartReleaseRequest:
        """A request that runs these shell lines; `timeout` is for each of them, in seconds."""
        return release_request(*lines, **{"image": self.image, **fields})

    async def start(self, *lines: str, **fields: Any) -> Release:
        return await self.stub.StartRelease(self.request(*lines, **fields))

    async def run(self, *lines: str, **fields: Any) -> Outcome:
        """Start a release and follow it to its end."""
        return await self.outcome((await self.start(*lines, **fields)).name)

    async def outcome(self, name: str, after_sequence: int = 0) -> Outcome:
        """Follow a release to its end."""
        watch = self.watch(name, after_sequence)
        events = [event async for event in watch]
        release = await self.stub.GetRelease(release_service_pb2.GetReleaseRequest(name=name))
        return Outcome(release, events)

    def watch(self, name: str, after_sequence: int = 0) -> Any:
        request = release_service_pb2.WatchReleaseRequest(name=name, after_sequence=after_sequence)
        return self.stub.WatchRelease(request)

    async def until(self, name: str, payload: str) -> ReleaseEvent:
        """Follow a release until an event of this kind."""
        watch = self.watch(name)
        try:
            async for event in watch:
                if event.WhichOneof("payload") == payload:
                    return event  # type: ignore[no-any-return]
        finally:
            watch.cancel()
        raise AssertionError(f"{name} ended without {payload}")

    async def until_output(self, name: str, data: bytes) -> None:
        """Follow a release until it has written this."""
        seen = b""
        watch = self.watch(name)
        try:
            async for event in watch:
                seen += event.command_output.data
                if data in seen:
                    return
        finally:
            watch.cancel()
        raise AssertionError(f"{name} ended without {data!r}, with {seen!r}")

    async def status(self) -> DaemonStatus:
        return await self.daemon.GetStatus(GetStatusRequest())

    async def cancel(self, name: str, reason: str = "") -> Release:
        return await self.stub.CancelRelease(
            release_service_pb2.CancelReleaseRequest(name=name, reason=reason),
        )

    async def report(self, name: str, outcome: str, reason: str = "") -> Release:
        """Report what became of a deployment."""
        value = release_pb2.Outcome.Value(f"OUTCOME_{outcome}")
        request = release_service_pb2.ReportOutcomeRequest(name=name, outcome=value, reason=reason)
        return await self.stub.ReportOutcome(request)


NOTHING: dict[str, Any] = {
    "commands": [{"label": "command 0", "line": "true"}],
    "skip_labels": ["command 0"],
    "skip_reason": "nothing is to be run",
}
"""What a request has that runs nothing: the release succeeds at once, and needs no engine."""


def release_request(*lines: str, **fields: Any) -> StartReleaseRequest:
    """A request for shop/live that runs these shell lines; `timeout` is for each of them, in seconds.

    Without any, the release runs nothing.
    """
    timeout = fields.pop("timeout", None)
    if not lines and "commands" not in fields:
        fields = {**NOTHING, **fields}
    commands = [ReleaseCommand(label=f"command {index}", line=line) for index, line in enumerate(lines)]
    for command in commands:
        if timeout is not None:
            command.timeout.CopyFrom(seconds(timeout))
    defaults = {"application": "shop", "environment": "live", "commands": commands}
    return StartReleaseRequest(**{**defaults, **fields})


def seconds(value: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(value * 1e9))
    return duration


@asynccontextmanager
async def serving_app(
    engine_url: str,
    image: str,
    audit: dict[str, Any] | None = None,
    engine: dict[str, Any] | None = None,
    access: AccessConfig | None = None,
    policy: PolicyTable | None = None,
    metrics: dict[str, Any] | None = None,
    registry_config: Path | None = None,
    lock_groups: dict[str, tuple[str, ...]] | None = None,
    **releases: Any,
) -> AsyncIterator[App]:
    """Run a daemon with these settings of [releases] and of the other tables, and one policy for all."""
    folder = Path(tempfile.mkdtemp(prefix="rp-", dir="/tmp"))
    config = Config(
        server=ServerConfig(socket=folder / "released.sock"),
        engine=EngineConfig(**{"url": engine_url, **(engine or {})}),
        audit=AuditConfig(**{"path": folder / "audit.db", **(audit or {})}),
        access=access or AccessConfig(),
        releases=msgspec.structs.replace(ReleasesConfig(stop_grace=5.0), **releases),
        metrics=MetricsConfig(**(metrics or {})),
        policy={"default": PolicyTable(mounts=ANY_MOUNT) if policy is None else policy},
        registry=RegistryConfig(config=registry_config),
        lock_groups=lock_groups or {},
    )
    configuration = Configuration(config)
    try:
        async with (
            running(configuration),
            grpc.aio.insecure_channel(f"unix:{config.server.socket}") as channel,
        ):
            yield App(folder, configuration, channel, image)
    finally:
        shutil.rmtree(folder)


Serve = Callable[..., AbstractAsyncContextManager[App]]


@pytest.fixture
async def app(engine: Engine, busybox_image: str) -> AsyncIterator[App]:
    """A daemon with default settings, but a grace of 5 seconds."""
    async with serving_app(engine.url, busybox_image) as app:
        yield app


@pytest.fixture
def serve(engine: Engine, busybox_image: str) -> Serve:
    """Start daemons with other settings."""

    def serve(**settings: Any) -> AbstractAsyncContextManager[App]:
        return serving_app(engine.url, busybox_image, **settings)

    return serve
