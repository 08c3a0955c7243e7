"""The product: a release through the daemon, started and watched to its end by a caller like any other."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import grpc.aio
from zstandard import ZstdDecompressor

from bench.rounds import NotMeasured
from releasephase.v1 import release_pb2, release_service_pb2, release_service_pb2_grpc

if TYPE_CHECKING:
    from releasephase.v1.release_service_pb2_grpc import ReleaseServiceAsyncStub


class ReleaseCaller:
    """Runs releases of one image over one channel, and remembers how much of their output it saw."""

    def __init__(self, stub: "ReleaseServiceAsyncStub", image: str) -> None:
        self._stub = stub
        self._image = image
        self.output_bytes: dict[str, int] = {}
        """By the release's name."""

    @classmethod
    @asynccontextmanager
    async def connected(cls, socket: Path, image: str) -> AsyncIterator["ReleaseCaller"]:
        """Hold a channel to the daemon until the end of the block."""
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            yield cls(release_service_pb2_grpc.ReleaseServiceStub(channel), image)

    async def run(
        self,
        *lines: str,
        secrets: Mapping[str, str] = MappingProxyType({}),
        application: str = "bench",
    ) -> None:
        """Run a release, from StartRelease to the terminal event of WatchRelease."""
        try:
            release = await self._stub.StartRelease(self._request(lines, secrets, application))
            try:
                await self._watch(release.name)
            except asyncio.CancelledError:
                # The daemon is stopped next, and would leave the container for its next start.
                await self._cancel(release.name)
                raise
        except grpc.aio.AioRpcError as error:
            raise NotMeasured(f"the daemon answered {error.code().name}: {error.details()}") from error

    def _request(
        self, lines: tuple[str, ...], secrets: Mapping[str, str], application: str
    ) -> release_service_pb2.StartReleaseRequest:
        commands = [
            release_service_pb2.ReleaseCommand(label=f"command {number}", line=line)
            for number, line in enumerate(lines, start=1)
        ]
        env = [
            release_service_pb2.EnvironmentVariable(name=name, value=value, secret=True)
            for name, value in secrets.items()
        ]
        return release_service_pb2.StartReleaseRequest(
            application=application, environment="live", image=self._image, commands=commands, env=env
        )

    async def _watch(self, name: str) -> None:
        end, output_bytes = release_pb2.Release(), 0
        async for event in self._stub.WatchRelease(release_service_pb2.WatchReleaseRequest(name=name)):
            if event.HasField("command_output"):
                output_bytes += len(event.command_output.data)
            elif event.HasField("state_changed"):
                end.state = event.state_changed.state
                end.failure.message = event.state_changed.failure.message
        if end.state != release_pb2.Release.STATE_SUCCEEDED:
            state = release_pb2.Release.State.Name(end.state)
            raise NotMeasured(f"{name} ended as {state}: {end.failure.message}")
        self.output_bytes[name] = output_bytes

    async def _cancel(self, name: str) -> None:
        try:
            await self._stub.CancelRelease(release_service_pb2.CancelReleaseRequest(name=name))
            await self._watch(name)
        except (grpc.aio.AioRpcError, NotMeasured):
            pass  # it has ended, one way or another


def stored_bytes(audit: Path, name: str) -> int:
    """How many bytes of a release's output are in the audit log, unpacked and counted past the daemon."""
    unpack = ZstdDecompressor().decompress
    with closing(sqlite3.connect(f"{audit.as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT encoding, data FROM events JOIN outputs USING (sequence) WHERE release_id = ?",
            (name.removeprefix("releases/"),),
        )
        return sum(len(unpack(data) if encoding else data) for encoding, data in rows)
