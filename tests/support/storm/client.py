"""Deploy agents that don't give up: they start releases and follow them, however often the daemon is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from releasephase.v1 import release_service_pb2_grpc
from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import StartReleaseRequest, WatchReleaseRequest
from support.storm.plan import Plan

if TYPE_CHECKING:
    from releasephase.v1.release_service_pb2_grpc import ReleaseServiceAsyncStub

PAUSE = 0.1
"""Seconds before a call is tried again that was cut, or refused because the engine is not there yet."""

TERMINAL = (Release.STATE_SUCCEEDED, Release.STATE_FAILED, Release.STATE_CANCELLED)

_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
)


@dataclass
class Told:
    """What a client was told of a release: its name once it was accepted, and its events as they came."""

    plan: Plan
    name: str = ""
    sequences: list[int] = field(default_factory=list)
    ended: bool = False


class Client:
    """Starts releases over a channel that outlives the daemon."""

    def __init__(self, stub: ReleaseServiceAsyncStub, image: str, folder: Path) -> None:
        self._stub = stub
        self._image = image
        self._folder = folder

    async def run_all(self, plans: Iterator[Plan], tell: Callable[[Told], None]) -> None:
        """Run one release after the other until there are no more plans."""
        for plan in plans:
            told = Told(plan)
            tell(told)
            told.name = await self._start(plan.request(self._image, self._folder))
            await self._follow(told)

    async def _start(self, request: StartReleaseRequest) -> str:
        """Start a release: the request is the same each time, so that it is started once."""
        while True:
            try:
                return (await self._stub.StartRelease(request, wait_for_ready=True)).name
            except grpc.aio.AioRpcError as error:
                await _pause_after(error)

    async def _follow(self, told: Told) -> None:
        """Follow a release to its end, going on behind the last event that came."""
        while not told.ended:
            try:
                await self._watch(told)
            except grpc.aio.AioRpcError as error:
                await _pause_after(error)

    async def _watch(self, told: Told) -> None:
        last = told.sequences[-1] if told.sequences else 0
        request = WatchReleaseRequest(name=told.name, after_sequence=last)
        async for event in self._stub.WatchRelease(request, wait_for_ready=True):
            if event.WhichOneof("payload") != "progress_notice":
                told.sequences.append(event.sequence)
            told.ended = event.state_changed.state in TERMINAL


async def _pause_after(error: grpc.aio.AioRpcError) -> None:
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        raise error
    await asyncio.sleep(PAUSE)


@asynccontextmanager
async def connected(socket: Path) -> AsyncIterator[ReleaseServiceAsyncStub]:
    """Hold a channel to the daemon, which may come and go, until the end of the block."""
    async with grpc.aio.insecure_channel(f"unix:{socket}", options=_OPTIONS) as channel:
        yield release_service_pb2_grpc.ReleaseServiceStub(channel)
