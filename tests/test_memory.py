"""Floods of output through the real daemon, whose memory the kernel measures."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import (
    GetReleaseRequest,
    ReleaseCommand,
    StartReleaseRequest,
    WatchReleaseRequest,
)
from releasephase.v1.release_service_pb2_grpc import ReleaseServiceStub
from support.daemon import Daemon, running_daemon
from support.docker_engine import Engine
from support.memory import forget_peak, peak_bytes, resident_bytes

ALLOWANCE = 32 * 1024 * 1024
"""How much more than an idle daemon one may hold that takes in a flood."""

CAP = 256 * 1024 * 1024
TAIL = 64 * 1024


@dataclass(frozen=True)
class Flooded:
    """What a watcher was told of a release's output."""

    release: Release
    stored_bytes: int
    omitted_bytes: int
    digest: bytes


class Measured:
    """A daemon that has run a release before and is idle now."""

    def __init__(self, daemon: Daemon, image: str) -> None:
        self._daemon = daemon
        self._image = image
        with self.connected() as stub:
            assert self.follow(stub, self.start(stub, "echo up")).stored_bytes == 3
        self._idle = resident_bytes(daemon.process.pid)
        forget_peak(daemon.process.pid)

    @property
    def growth_bytes(self) -> int:
        """By how much the most that it held since then exceeds what it held then."""
        return peak_bytes(self._daemon.process.pid) - self._idle

    @contextmanager
    def connected(self) -> Iterator[ReleaseServiceStub]:
        """A client on a connection of its own."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"unix:{self._daemon.socket}", options) as channel:
            yield ReleaseServiceStub(channel)

    def start(self, stub: ReleaseServiceStub, line: str) -> Release:
        command = ReleaseCommand(label="flood", line=line)
        return stub.StartRelease(
            StartReleaseRequest(application="shop", environment="live", image=self._image, commands=[command])
        )

    def watch(self, stub: ReleaseServiceStub, release: Release) -> Any:
        return stub.WatchRelease(WatchReleaseRequest(name=release.name))

    def follow(self, stub: ReleaseServiceStub, release: Release) -> Flooded:
        """Watch a release to its end, keeping nothing of its output."""
        stored = omitted = 0
        digest = hashlib.sha256()
        for event in self.watch(stub, release):
            stored += len(event.command_output.data)
            omitted += event.command_output.omitted_bytes
            digest.update(event.command_output.data)
        ended = stub.GetRelease(GetReleaseRequest(name=release.name))
        return Flooded(ended, stored, omitted, digest.digest())


@contextmanager
def measured(engine: Engine, image: str, more_settings: str = "") -> Iterator[Measured]:
    with running_daemon(engine.url, more_settings) as daemon:
        yield Measured(daemon, image)


def test_a_gigabyte_of_output_is_taken_in_without_memory(engine: Engine, busybox_image: str) -> None:
    """Although one watcher follows and another one has stopped reading; every byte is stored or counted."""
    line = "yes 'the quick brown fox jumps over the lazy dog' | head -c 1000000000"
    with (
        measured(engine, busybox_image) as daemon,
        daemon.connected() as stub,
        daemon.connected() as other_stub,
    ):
        release = daemon.start(stub, line)
        stopped = daemon.watch(other_stub, release)
        next(stopped)
        flooded = daemon.follow(stub, release)
        growth = daemon.growth_bytes
        stopped.cancel()
    assert flooded.release.state == Release.STATE_SUCCEEDED
    assert flooded.release.command_runs[0].stdout_bytes == 10**9
    assert flooded.stored_bytes == CAP + TAIL
    assert flooded.stored_bytes + flooded.omitted_bytes == 10**9
    assert growth <= ALLOWANCE


def test_a_line_without_an_end_is_exact_up_to_the_cap(engine: Engine, busybox_image: str) -> None:
    """100 MB without a newline: the head is kept to the byte, and its end; nothing gathers in memory."""
    size, cap = 100_000_000, 60_000_000
    line = f"seq 1 14000000 | tr -d '\\n' | head -c {size}"
    with (
        measured(engine, busybox_image, f"output_cap = {cap}") as daemon,
        daemon.connected() as stub,
    ):
        flooded = daemon.follow(stub, daemon.start(stub, line))
        growth = daemon.growth_bytes
    written = "".join(map(str, range(1, 14_000_001))).encode()[:size]
    assert flooded.release.state == Release.STATE_SUCCEEDED
    assert flooded.digest == hashlib.sha256(written[:cap] + written[-TAIL:]).digest()
    assert flooded.omitted_bytes == size - cap - TAIL
    assert growth <= ALLOWANCE
