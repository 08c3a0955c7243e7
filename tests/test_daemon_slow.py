"""A command that takes much longer than usual, with the whole daemon on a real engine."""

import time
from collections.abc import Iterator

import pytest

from releasephase.v1.daemon_service_pb2 import GetStatusRequest, SlowCommand
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_service_pb2 import CancelReleaseRequest
from support.app import release_request
from support.docker_engine import Engine
from support.process import DaemonProcess, daemon_in_memory

DEADLINE = 60
"""Seconds after which the test fails."""

HANGS = "echo up; sleep 1000"


@pytest.fixture
def daemon(engine: Engine, busybox_image: str) -> Iterator[DaemonProcess]:
    """A daemon that has run a quick command five times."""
    with daemon_in_memory(engine.url) as daemon:
        for _ in range(5):
            daemon.outcome(daemon.stub.StartRelease(release_request("true", image=busybox_image)).name)
        yield daemon


def until_slow(daemon: DaemonProcess, name: str) -> ReleaseEvent:
    """Follow a release until its command is slow."""
    watch = daemon.watch(name)
    for event in watch:
        if event.HasField("command_slow"):
            watch.cancel()
            return event  # type: ignore[no-any-return]
    raise AssertionError(f"{name} ended")


def slow_in_status(daemon: DaemonProcess) -> SlowCommand | None:
    (lane,) = daemon.daemon.GetStatus(GetStatusRequest()).lanes
    return lane.slow_command if lane.HasField("slow_command") else None


def test_slow_command(daemon: DaemonProcess, busybox_image: str) -> None:
    """Who watches is told, who comes later, and who asks for the status; once, also across a crash."""
    name = daemon.stub.StartRelease(release_request(HANGS, image=busybox_image)).name
    daemon.until_output(name, b"up\n")
    event = until_slow(daemon, name)
    assert (event.command_slow.command_index, event.command_slow.run_count) == (0, 5)
    assert until_slow(daemon, name) == event
    before = slow_in_status(daemon)
    assert before is not None
    assert (before.label, before.median) == ("command 0", event.command_slow.median)
    shown = daemon.releasectl("status").stdout
    assert "slow  shop/live: command 0 since " in shown
    daemon.kill()
    daemon.start()
    assert until_slow(daemon, name) == event
    # It is adopted within moments; no event says that its command is being watched again.
    deadline = time.monotonic() + DEADLINE
    while (after := slow_in_status(daemon)) is None:
        assert time.monotonic() < deadline
    assert (after.label, after.median) == (before.label, before.median)
    daemon.stub.CancelRelease(CancelReleaseRequest(name=name))
    outcome = daemon.outcome(name)
    assert outcome.kinds.count("command_slow") == 1
    assert outcome.state == "CANCELLED"
