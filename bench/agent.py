"""A deploy agent: it starts, follows and cancels releases, over a connection of its own."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

import grpc.aio
from google.protobuf.duration_pb2 import Duration

from bench.rounds import NotMeasured
from releasephase.v1 import daemon_service_pb2, daemon_service_pb2_grpc, release_service_pb2_grpc
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import (
    CancelReleaseRequest,
    ReleaseCommand,
    StartReleaseRequest,
    WatchReleaseRequest,
)

if TYPE_CHECKING:
    from releasephase.v1.daemon_service_pb2_grpc import DaemonServiceAsyncStub
    from releasephase.v1.release_service_pb2_grpc import ReleaseServiceAsyncStub

SLEEP = "exec sleep 3600"
"""The command of a release that is to be under way until it is cancelled."""

CANCELLED_AT_ONCE = 50
"""A connection to the daemon takes 100 calls at once."""

_LARGEST_MESSAGE = ("grpc.max_receive_message_length", -1)
_CHANNEL_OF_ITS_OWN = ("grpc.use_local_subchannel_pool", 1)
"""Or else all channels to one socket share a connection."""


def request(
    image: str,
    *lines: str,
    application: str = "bench",
    timeout: timedelta | None = None,
) -> StartReleaseRequest:
    """Ask for a release of shell lines, in the environment `live`; each may take so long."""
    limit = Duration()
    if timeout:
        limit.FromTimedelta(timeout)
    commands = [
        ReleaseCommand(label=f"command {number}", line=line, timeout=limit if timeout else None)
        for number, line in enumerate(lines, start=1)
    ]
    return StartReleaseRequest(application=application, environment="live", image=image, commands=commands)


class Agent:
    """Calls a daemon; what the daemon refuses is NotMeasured."""

    def __init__(self, releases: "ReleaseServiceAsyncStub", daemon: "DaemonServiceAsyncStub") -> None:
        self._releases = releases
        self._daemon = daemon

    @classmethod
    @asynccontextmanager
    async def connected(cls, socket: Path) -> AsyncIterator[Self]:
        """Hold a connection until the end of the block."""
        options = (_LARGEST_MESSAGE, _CHANNEL_OF_ITS_OWN)
        async with grpc.aio.insecure_channel(f"unix:{socket}", options) as channel:
            releases = release_service_pb2_grpc.ReleaseServiceStub(channel)
            yield cls(releases, daemon_service_pb2_grpc.DaemonServiceStub(channel))

    async def start(self, asked: StartReleaseRequest) -> str:
        """Start a release and return its name: it is accepted, and that is durable."""
        try:
            release = await self._releases.StartRelease(asked)
        except grpc.aio.AioRpcError as error:
            _refused(error)
        return release.name

    @asynccontextmanager
    async def started(self, asked: StartReleaseRequest) -> AsyncIterator[str]:
        """Start a release, for a block that sees it to its end; it is cancelled if the block fails."""
        name = await self.start(asked)
        try:
            yield name
        except BaseException:
            # The daemon is stopped next, and would leave the container for its next start.
            with suppress(NotMeasured):
                await self.cancel([name])
            raise

    async def status(self) -> daemon_service_pb2.DaemonStatus:
        """Ask for the daemon's status."""
        try:
            return await self._daemon.GetStatus(daemon_service_pb2.GetStatusRequest())
        except grpc.aio.AioRpcError as error:
            _refused(error)

    async def events(self, name: str) -> AsyncIterator[ReleaseEvent]:
        """Yield the events of a release, from its acceptance to its end."""
        try:
            async for event in self._releases.WatchRelease(WatchReleaseRequest(name=name)):
                yield event
        except grpc.aio.AioRpcError as error:
            _refused(error)

    async def until(self, name: str, state: "Release.State.ValueType") -> ReleaseEvent:
        """Follow a release until it is in a state, and return the event that says so."""
        last = ReleaseEvent()
        async for event in self.events(name):
            last = event
            if event.HasField("state_changed") and event.state_changed.state == state:
                return event
        changed = last.state_changed
        raise NotMeasured(f"{name} ended as {Release.State.Name(changed.state)}: {changed.failure.message}")

    async def until_started(self, name: str) -> None:
        """Follow a release until its first command has been let go."""
        async for event in self.events(name):
            if event.HasField("command_started"):
                return
        raise NotMeasured(f"{name} ended without having run a command")

    async def succeeded(self, name: str) -> ReleaseEvent:
        """Follow a release to its end, which has to be good, and return its last event."""
        return await self.until(name, Release.STATE_SUCCEEDED)

    async def cancel(self, names: Iterable[str]) -> None:
        """Cancel releases, and see each to its end."""
        at_once = asyncio.Semaphore(CANCELLED_AT_ONCE)
        await asyncio.gather(*[self._cancel(name, at_once) for name in names])

    async def _cancel(self, name: str, at_once: asyncio.Semaphore) -> None:
        async with at_once:
            await self._cancel_one(name)

    async def _cancel_one(self, name: str) -> None:
        try:
            await self._releases.CancelRelease(CancelReleaseRequest(name=name))
        except grpc.aio.AioRpcError as error:
            _refused(error)
        await self.until(name, Release.STATE_CANCELLED)

    async def drain(self) -> None:
        """Let the daemon start nothing more, and end when nothing is under way."""
        try:
            await anext(aiter(self._daemon.Drain(daemon_service_pb2.DrainRequest())))
        except grpc.aio.AioRpcError as error:
            _refused(error)


def seconds_between(earlier: ReleaseEvent, later: ReleaseEvent) -> float:
    """How long after an event another happened, by the daemon's clock."""
    return (later.event_time.ToNanoseconds() - earlier.event_time.ToNanoseconds()) / 1e9


def _refused(error: grpc.aio.AioRpcError) -> NoReturn:
    raise NotMeasured(f"the daemon answered {error.code().name}: {error.details()}") from error
