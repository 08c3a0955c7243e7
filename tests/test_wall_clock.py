"""A wall clock that is set an hour forward or back while releases run: only times of day may change."""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from releasephase.v1.release_pb2 import Failure, Release
from releasephase.v1.release_service_pb2 import GetReleaseRequest, StartReleaseRequest, WatchReleaseRequest
from releasephase.v1.release_service_pb2_grpc import ReleaseServiceStub
from support.app import seconds
from support.daemon import Daemon, running_daemon
from support.docker_engine import RELEASE_LABEL, Engine
from support.process import DaemonProcess
from support.wall_clock import WallClock

HOUR = timedelta(hours=1)
HALF_AN_HOUR = 1800.0
SHORT = 3.0

CLOCKS = """
import sys, time
for line in sys.stdin:
    print(time.time(), time.monotonic(), time.clock_gettime(time.CLOCK_BOOTTIME), flush=True)
"""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The wall clock of whatever the test starts; it is right until it is set."""
    clock = WallClock(tmp_path / "offset")
    clock.set(timedelta())
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    return clock


class Shop:
    """A client of a daemon with that clock, and the gates that commands wait for."""

    def __init__(self, stub: ReleaseServiceStub, image: str, gates: Path) -> None:
        self.stub = stub
        self._image = image
        self._gates = gates

    def start(self, line: str, environment: str, timeout: float) -> Release:
        commands = [{"label": "command", "line": line, "timeout": seconds(timeout)}]
        request = StartReleaseRequest(
            application="shop",
            environment=environment,
            image=self._image,
            commands=commands,  # type: ignore[arg-type] # protobuf takes dictionaries for messages
            mounts=[{"source": str(self._gates), "target": "/gates"}],  # type: ignore[list-item]
            release_timeout=seconds(HALF_AN_HOUR),
        )
        return self.stub.StartRelease(request)

    def start_gated(self, environment: str) -> Release:
        """Start a release that says `up` and then waits for its gate, half an hour at most."""
        line = f"echo up; until [ -e /gates/{environment} ]; do sleep 0.05; done; echo done"
        return self.start(line, environment, HALF_AN_HOUR)

    def open_gate(self, environment: str) -> None:
        (self._gates / environment).touch()

    def watch(self, release: Release) -> Any:
        return self.stub.WatchRelease(WatchReleaseRequest(name=release.name))

    def ended(self, release: Release) -> Release:
        """Watch a release to its end and return it."""
        for _ in self.watch(release):
            pass
        return self.get(release)

    def get(self, release: Release) -> Release:
        return self.stub.GetRelease(GetReleaseRequest(name=release.name))


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    """The folder of gates; one is open when its file is there."""
    (tmp_path / "gates").mkdir()
    return tmp_path / "gates"


@pytest.fixture
def daemon(engine: Engine, clock: WallClock, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    """A daemon; the parameter is its queue_timeout."""
    with running_daemon(engine.url, f"[releases]\nqueue_timeout = {request.param}\n") as daemon:
        yield daemon


@pytest.fixture
def shop(daemon: Daemon, busybox_image: str, gates: Path) -> Iterator[Shop]:
    with grpc.insecure_channel(f"unix:{daemon.socket}") as channel:
        yield Shop(ReleaseServiceStub(channel), busybox_image, gates)


@pytest.fixture
def mortal(engine: Engine, clock: WallClock) -> Iterator[DaemonProcess]:
    """A daemon that can be killed and started again; a release may wait in its queue for half an hour."""
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder,
        DaemonProcess(Path(folder), engine.url, f"[releases]\nqueue_timeout = {HALF_AN_HOUR}\n") as daemon,
    ):
        yield daemon


def until_up(watch: Any) -> list[Any]:
    """The events up to the command's first output."""
    seen = []
    for event in watch:
        seen.append(event)
        if event.command_output.data:
            return seen
    raise AssertionError(f"no output among {seen}")


def all_that_is_shown(daemon: Daemon, releases: list[Release]) -> str:
    """Whatever releasectl tells of the releases in tables."""
    shown = [daemon.releasectl("show", release.name).stdout for release in releases]
    return "\n".join([*shown, daemon.releasectl("history").stdout])


def wait_for_container(engine: Engine, release: Release) -> None:
    """Wait until a release's container has ended, without the daemon."""
    filters = json.dumps({"label": [f"{RELEASE_LABEL}={release.name}"]})
    (container,) = engine.http.json("GET", "/containers/json", {"all": "1", "filters": filters})
    engine.http.request("POST", f"/containers/{container['Id']}/wait")


def test_only_the_time_of_day_is_faked(clock: WallClock) -> None:
    """The tests below rest on it: the wall clock follows in a running program, the other clocks don't."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLOCKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    offsets = []
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        for offset in (timedelta(), HOUR, -HOUR):
            clock.set(offset)
            print(file=process.stdin, flush=True)
            wall, monotonic, boot = map(float, process.stdout.readline().split())
            assert abs(monotonic - time.monotonic()) < 60
            assert abs(boot - time.clock_gettime(time.CLOCK_BOOTTIME)) < 60
            offsets.append(round((wall - time.time()) / 3600))
        process.stdin.close()
    assert offsets == [0, 1, -1]


@pytest.mark.parametrize("daemon", [HALF_AN_HOUR], indirect=True)
def test_clock_set_forward_ends_nothing_early(shop: Shop, clock: WallClock) -> None:
    """Neither a command nor a release nor a place in the queue; what is due soon is still ended."""
    running = shop.start_gated("live")
    watch = shop.watch(running)
    before = until_up(watch)
    queued = shop.start_gated("live")
    late = shop.start("sleep 1000", "test", SHORT)
    until_started = next(e for e in shop.watch(late) if e.HasField("command_started"))

    clock.set(HOUR)
    assert shop.ended(late).failure.cause == Failure.CAUSE_COMMAND_TIMED_OUT
    assert shop.get(late).end_time.seconds - until_started.event_time.seconds > 3500
    assert [shop.get(release).state for release in (running, queued)] == [
        Release.STATE_RUNNING,
        Release.STATE_QUEUED,
    ]

    shop.open_gate("live")
    events = [*before, *watch]
    assert events[-1].state_changed.state == Release.STATE_SUCCEEDED
    assert shop.ended(queued).state == Release.STATE_SUCCEEDED
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))


@pytest.mark.parametrize("daemon", [SHORT], indirect=True)
def test_clock_set_back_delays_no_end(daemon: Daemon, shop: Shop, clock: WallClock) -> None:
    """Timeouts of a command and of the queue come when they are due, watching goes on, nothing took -1 h."""
    running = shop.start_gated("live")
    watch = shop.watch(running)
    before = until_up(watch)
    queued = shop.start_gated("live")
    late = shop.start("sleep 1000", "test", SHORT)
    until_started = next(e for e in shop.watch(late) if e.HasField("command_started"))

    clock.set(-HOUR)
    assert shop.ended(late).failure.cause == Failure.CAUSE_COMMAND_TIMED_OUT
    assert until_started.event_time.seconds - shop.get(late).end_time.seconds > 3500
    assert shop.ended(queued).failure.cause == Failure.CAUSE_QUEUE_TIMED_OUT

    shop.open_gate("live")
    events = [*before, *watch]
    assert events[-1].state_changed.state == Release.STATE_SUCCEEDED
    assert events[-1].event_time.seconds < events[0].event_time.seconds
    sequences = [event.sequence for event in events]
    assert sequences == sorted(set(sequences))

    assert not re.search(r"(^|\s)-\d", all_that_is_shown(daemon, [running, late, queued]), re.MULTILINE)
    listed = json.loads(daemon.releasectl("history", "--json").stdout)["releases"]
    assert [release["name"] for release in listed] == [late.name, queued.name, running.name]


@pytest.mark.parametrize("offset", [HOUR, -HOUR])
def test_clock_set_while_the_daemon_is_away(
    mortal: DaemonProcess,
    engine: Engine,
    busybox_image: str,
    gates: Path,
    clock: WallClock,
    offset: timedelta,
) -> None:
    """Who ended meanwhile, who still runs and who still waits is not taken to be late."""
    shop = Shop(mortal.stub, busybox_image, gates)
    running = shop.start_gated("live")
    queued = shop.start_gated("live")
    ending = shop.start_gated("test")
    for release in (running, ending):
        until_up(shop.watch(release))
    mortal.kill()
    shop.open_gate("test")
    wait_for_container(engine, ending)

    clock.set(offset)
    mortal.start()
    shop = Shop(mortal.stub, busybox_image, gates)
    ended = shop.ended(ending)
    assert (ended.state, ended.failure.message) == (Release.STATE_SUCCEEDED, "")
    shop.open_gate("live")
    for release in (running, queued):
        ended = shop.ended(release)
        assert (ended.state, ended.failure.message) == (Release.STATE_SUCCEEDED, "")
