"""What becomes of releases when their engine restarts, hangs, is away, or does not do what it says.

The engine is a real one of each test's own; a faulty one stands in for what a real one can't be made to do.
"""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from released.engine.engine import Engine as DaemonsEngine
from released.engine.errors import EngineUnreachable
from releasephase.v1.daemon_service_pb2 import LaneStatus
from releasephase.v1.release_pb2 import Mount, Release
from releasephase.v1.release_service_pb2 import GetReleaseRequest, ListReleasesRequest, WatchReleaseRequest
from support import busybox, debian
from support.app import STDERR, STDOUT, App, Outcome, release_request, serving_app
from support.docker_engine import Engine
from support.faulty_engine import FaultyEngine, faulty_engine
from support.private_docker import PrivateDocker, private_docker
from support.process import DaemonProcess
from support.rpc_errors import details_of, refused

RELEASE_SERVICE = "releasephase.v1.ReleaseService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING

PATIENCE = 90.0
"""Seconds after which a test fails in which something does not happen that must."""

COUNT = (
    "echo >> /m/runs; i=0; until [ -e /m/enough ]; do echo out $i; echo err $i >&2; "
    "while [ -e /m/hold ]; do echo $i > /m/held; sleep 0.01; done; i=$((i+1)); sleep 0.01; "
    "done; echo last $i"
)
"""Numbers its lines on both streams until somebody has had enough, with pauses; counts its runs."""


@pytest.fixture
def dockerd() -> Iterator[PrivateDocker]:
    """An engine of this test's own, not started yet."""
    if os.geteuid() != 0 or not debian.which("dockerd"):
        pytest.skip("only root can start an engine of its own, where dockerd is installed")
    with private_docker() as docker:
        yield docker


@pytest.fixture
async def faulty(engine: Engine) -> AsyncIterator[FaultyEngine]:
    """A way to the engine on which some requests fail."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        async with faulty_engine(Path(folder), engine.url) as faulty:
            yield faulty


@asynccontextmanager
async def serving(docker: PrivateDocker, *, live_restore: bool) -> AsyncIterator[App]:
    """Start the engine, and a daemon that gives each control call two seconds."""
    docker.start(live_restore=live_restore)
    image = docker.engine.make_image(busybox.shell_image())
    async with (
        asyncio.timeout(PATIENCE),
        serving_app(docker.url, image, engine={"control_timeout": 2.0}) as app,
    ):
        yield app


def mounted(folder: Path) -> list[Mount]:
    return [Mount(source=str(folder), target="/m")]


def assert_counted(outcome: Outcome, folder: Path, index: int = 0) -> None:
    """The command ran once, and each line that it wrote is stored once."""
    *_, last = outcome.output(index, STDOUT).split()
    count = int(last)
    expected = "".join(f"out {number}\n" for number in range(count)) + f"last {count}\n"
    assert outcome.output(index, STDOUT).decode() == expected
    assert outcome.output(index, STDERR).decode() == "".join(f"err {number}\n" for number in range(count))
    assert (folder / "runs").read_text() == "\n"


def health_stub(channel: grpc.Channel | grpc.aio.Channel) -> Any:
    """The stub for a channel of either kind; its types know neither."""
    return health_pb2_grpc.HealthStub(channel)


async def health_becomes(app: App, status: int) -> None:
    """Wait until the daemon says so of its release service."""
    request = health_pb2.HealthCheckRequest(service=RELEASE_SERVICE)
    async for answer in health_stub(app.channel).Watch(request, timeout=PATIENCE):
        if answer.status == status:
            return
    raise AssertionError("the watch ended")


async def end_between_lines(app: App, name: str, folder: Path, end: Callable[[], object]) -> None:
    """End the engine while it has no line in its hands: one that it has read and not stored yet is lost."""
    (folder / "held").unlink(missing_ok=True)
    (folder / "hold").touch()
    await exists(folder / "held")
    while not (number := (folder / "held").read_text().rstrip("\n")):  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)
    for stream in ("out", "err"):
        await app.until_output(name, f"{stream} {number}\n".encode())
    await asyncio.to_thread(end)
    (folder / "hold").unlink()


async def exists(path: Path) -> None:
    """Wait until a command has made this file."""
    while not path.exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)


async def lane_in_trouble(app: App, target: str) -> LaneStatus:
    """Wait until the status names what is wrong with a lane."""
    while True:
        (lane,) = [lane for lane in (await app.status()).lanes if lane.target == target]
        if lane.trouble:
            return lane


@pytest.mark.parametrize("end", [PrivateDocker.terminate, PrivateDocker.kill])
async def test_a_command_outlives_its_engine(
    dockerd: PrivateDocker, tmp_path: Path, end: Callable[[PrivateDocker], object]
) -> None:
    """With live-restore: it writes on while the engine is away, and the daemon has every line of it once."""
    async with serving(dockerd, live_restore=True) as app:
        release = await app.start(COUNT, "echo then", mounts=mounted(tmp_path))
        await app.until_output(release.name, b"out 20\n")
        await end_between_lines(app, release.name, tmp_path, partial(end, dockerd))
        await asyncio.to_thread(dockerd.start, live_restore=True)
        await app.until(release.name, "engine_reconnected")
        (tmp_path / "enough").touch()
        outcome = await app.outcome(release.name)
        assert (outcome.state, outcome.message) == ("SUCCEEDED", "")
        assert outcome.command_states == ["SUCCEEDED", "SUCCEEDED"]
        assert_counted(outcome, tmp_path)
        assert outcome.output(1) == b"then\n"
        assert not dockerd.engine.release_containers()


async def test_a_command_of_its_own_container_outlives_its_engine(
    dockerd: PrivateDocker, tmp_path: Path
) -> None:
    """The engine has forgotten the container's start, and saw its end: that is enough to believe it."""
    async with serving(dockerd, live_restore=True) as app:
        release = await app.start(
            COUNT, "echo then", mounts=mounted(tmp_path), container_mode="CONTAINER_MODE_PER_COMMAND"
        )
        await app.until_output(release.name, b"out 20\n")
        await asyncio.to_thread(dockerd.terminate)
        await asyncio.to_thread(dockerd.start, live_restore=True)
        await app.until(release.name, "engine_reconnected")
        # Written and read while the daemon was attached again: it has found the container running.
        await app.until_output(release.name, b"out 300\n")
        (tmp_path / "enough").touch()
        outcome = await app.outcome(release.name)
        assert (outcome.state, outcome.message) == ("SUCCEEDED", "")
        assert_counted(outcome, tmp_path)
        assert outcome.output(1) == b"then\n"


async def test_a_command_of_its_own_container_that_ends_unseen_is_no_blind_success(
    dockerd: PrivateDocker, tmp_path: Path
) -> None:
    """The engine knows its exit code, and may have lost what it wrote last: it is not believed."""
    async with serving(dockerd, live_restore=True) as app:
        release = await app.start(
            f"{COUNT}; touch /m/ended", mounts=mounted(tmp_path), container_mode="CONTAINER_MODE_PER_COMMAND"
        )
        await app.until_output(release.name, b"out 20\n")
        await asyncio.to_thread(dockerd.kill)
        (tmp_path / "enough").touch()
        await exists(tmp_path / "ended")
        await asyncio.to_thread(dockerd.start, live_restore=True)
        outcome = await app.outcome(release.name)
        if outcome.state == "SUCCEEDED":
            assert_counted(outcome, tmp_path)
        else:
            assert (outcome.cause, outcome.command_states) == ("INTERRUPTED", ["FAILED"])


@pytest.mark.parametrize("end", [PrivateDocker.terminate, PrivateDocker.kill])
async def test_a_command_that_ends_while_its_engine_is_away(
    dockerd: PrivateDocker, tmp_path: Path, end: Callable[[PrivateDocker], object]
) -> None:
    """What it wrote waits in its container's pipe until the engine is back, and so does its exit status."""
    async with serving(dockerd, live_restore=True) as app:
        release = await app.start(f"{COUNT}; touch /m/ended", "echo then", mounts=mounted(tmp_path))
        await app.until_output(release.name, b"out 20\n")
        await asyncio.to_thread(end, dockerd)
        (tmp_path / "enough").touch()
        await exists(tmp_path / "ended")
        await asyncio.to_thread(dockerd.start, live_restore=True)
        outcome = await app.outcome(release.name)
        assert (outcome.state, outcome.message) == ("SUCCEEDED", "")
        assert_counted(outcome, tmp_path)
        assert outcome.output(1) == b"then\n"


async def test_a_container_that_ends_while_its_engine_is_away_is_no_blind_success(
    dockerd: PrivateDocker, tmp_path: Path
) -> None:
    """The engine knows its exit code then, and has lost what it wrote last: only all of it is a success."""
    async with serving(dockerd, live_restore=True) as app:
        release = await app.start(f"{COUNT}; touch /m/ended", mounts=mounted(tmp_path))
        await app.until_output(release.name, b"out 20\n")
        await asyncio.to_thread(dockerd.kill)
        (tmp_path / "enough").touch()
        await exists(tmp_path / "ended")
        await asyncio.to_thread(dockerd.start, live_restore=True)
        outcome = await app.outcome(release.name)
        if outcome.state == "SUCCEEDED":
            assert_counted(outcome, tmp_path)
        else:
            assert (outcome.cause, outcome.command_states) == ("ENGINE_LOST", ["FAILED"])
        assert not dockerd.engine.release_containers()


async def test_an_engine_that_restarts_again_and_again(dockerd: PrivateDocker, tmp_path: Path) -> None:
    """Each time the daemon finds back to the command."""
    async with serving(dockerd, live_restore=True) as app:
        release = await app.start(COUNT, mounts=mounted(tmp_path))
        await app.until_output(release.name, b"out 20\n")
        for end in (dockerd.kill, dockerd.terminate, dockerd.kill):
            await end_between_lines(app, release.name, tmp_path, end)
            await health_becomes(app, NOT_SERVING)
            await asyncio.to_thread(dockerd.start, live_restore=True)
            await health_becomes(app, SERVING)
        (tmp_path / "enough").touch()
        outcome = await app.outcome(release.name)
        assert outcome.state == "SUCCEEDED", outcome.message
        assert_counted(outcome, tmp_path)


@pytest.mark.parametrize("end", [PrivateDocker.terminate, PrivateDocker.kill])
@pytest.mark.parametrize(
    "line",
    [
        "echo up; sleep 1000",
        "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done",
        "trap '' TERM; echo up; while :; do sleep 0.1; done",
    ],
)
async def test_an_engine_that_takes_its_containers_along_is_no_success(
    dockerd: PrivateDocker, tmp_path: Path, line: str, end: Callable[[PrivateDocker], object]
) -> None:
    """Without live-restore: the engine is to blame, also for a command that ends well on its SIGTERM."""
    async with serving(dockerd, live_restore=False) as app:
        release = await app.start(line, "touch /m/second", mounts=mounted(tmp_path))
        await app.until_output(release.name, b"up\n")
        await asyncio.to_thread(end, dockerd)
        await asyncio.to_thread(dockerd.start, live_restore=False)
        outcome = await app.outcome(release.name)
        assert (outcome.state, outcome.cause) == ("FAILED", "ENGINE_LOST"), outcome.message
        assert outcome.command_states == ["FAILED", "SKIPPED"]
        assert not (tmp_path / "second").exists()
        assert (await app.run("echo next")).output() == b"next\n"
        assert not dockerd.engine.release_containers()


async def test_a_hung_engine_holds_up_only_what_needs_it(dockerd: PrivateDocker, tmp_path: Path) -> None:
    """Status, history and cancel answer meanwhile; all goes on to its right end when the engine does."""
    async with serving(dockerd, live_restore=True) as app:
        goes_on = await app.start(COUNT, "echo then", mounts=mounted(tmp_path))
        stopped = await app.start("echo up; sleep 1000", environment="staging")
        waiting = await app.start("echo waited", environment="staging")
        await app.until_output(goes_on.name, b"out 20\n")
        await app.until_output(stopped.name, b"up\n")
        dockerd.stop()
        await health_becomes(app, NOT_SERVING)
        assert not (await app.status()).engine.reachable
        listed = (await app.stub.ListReleases(ListReleasesRequest(), timeout=PATIENCE)).releases
        assert {release.name for release in listed} == {goes_on.name, stopped.name, waiting.name}
        assert (await app.cancel(stopped.name)).state == Release.STATE_RUNNING
        await app.until(stopped.name, "signal_sent")
        got = await app.stub.GetRelease(GetReleaseRequest(name=waiting.name), timeout=PATIENCE)
        assert (got.state, got.queue_position) == (Release.STATE_QUEUED, 1)
        refusal = await refused(app.start("true", environment="other"))
        assert (refusal.code(), details_of(refusal)[0].reason) == (
            grpc.StatusCode.UNAVAILABLE,
            "ENGINE_UNAVAILABLE",
        )
        (tmp_path / "enough").touch()
        dockerd.go_on()
        await health_becomes(app, SERVING)
        outcome = await app.outcome(goes_on.name)
        assert outcome.state == "SUCCEEDED", outcome.message
        assert_counted(outcome, tmp_path)
        assert (await app.outcome(stopped.name)).command_states == ["CANCELLED"]
        assert (await app.outcome(waiting.name)).output() == b"waited\n"
        assert not dockerd.engine.release_containers()


async def test_a_timeout_while_the_engine_hangs_is_a_timeout(dockerd: PrivateDocker) -> None:
    """Its command can't be stopped then; it is as soon as the engine goes on, and that is its result."""
    async with serving(dockerd, live_restore=True) as app:
        release = await app.start("echo up; sleep 1000", "echo never", timeout=3)
        await app.until_output(release.name, b"up\n")
        dockerd.stop()
        await app.until(release.name, "signal_sent")
        dockerd.go_on()
        outcome = await app.outcome(release.name)
        assert (outcome.cause, outcome.command_states) == ("COMMAND_TIMED_OUT", ["TIMED_OUT", "SKIPPED"])
        assert not dockerd.engine.release_containers()


async def test_a_cancel_while_the_engine_is_away_is_the_end_of_its_command(dockerd: PrivateDocker) -> None:
    """It can't be stopped in order: it is killed once the engine is back, and recorded as cancelled."""
    async with serving(dockerd, live_restore=True) as app:
        release = await app.start("echo up; sleep 1000", "echo never")
        await app.until_output(release.name, b"up\n")
        await asyncio.to_thread(dockerd.kill)
        lane = await lane_in_trouble(app, "shop/live")
        assert "waits for the engine" in lane.trouble
        await app.cancel(release.name)
        await asyncio.to_thread(dockerd.start, live_restore=True)
        outcome = await app.outcome(release.name)
        assert (outcome.state, outcome.command_states) == ("CANCELLED", ["CANCELLED", "SKIPPED"])
        assert outcome.release.command_runs[0].signal == signal.SIGKILL
        assert not dockerd.engine.release_containers()


async def test_every_control_call_ends_while_the_engine_hangs(dockerd: PrivateDocker) -> None:
    """After its own deadline, with what is known then: that the engine did not answer."""
    dockerd.start(live_restore=True)
    engine = DaemonsEngine(dockerd.url, timedelta(seconds=0.2))
    dockerd.stop()
    calls: list[Awaitable[object]] = [
        engine.version(),
        engine.find_image("busybox"),
        engine.create_container("name", {}),
        engine.start_container("id"),
        engine.signal_container("id", "SIGTERM"),
        engine.remove_container("id"),
        engine.containers_of("id"),
    ]
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    await engine.close()
    assert [type(answer) for answer in answers] == [EngineUnreachable] * len(calls)


def test_a_daemon_whose_engine_is_absent(dockerd: PrivateDocker, tmp_path: Path) -> None:
    """It serves its history and refuses releases; once there is an engine, it takes up what was under way."""
    dockerd.start(live_restore=True)
    image = dockerd.engine.make_image(busybox.shell_image())
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder,
        DaemonProcess(Path(folder), dockerd.url) as daemon,
    ):
        ended = daemon.outcome(daemon.stub.StartRelease(release_request("echo ended", image=image)).name)
        request = release_request(COUNT, image=image, mounts=mounted(tmp_path))
        under_way = daemon.stub.StartRelease(request)
        daemon.until_output(under_way.name, b"out 20\n")
        daemon.kill()
        dockerd.kill()
        daemon.start()
        health = health_stub(daemon.channel)
        about = health_pb2.HealthCheckRequest(service=RELEASE_SERVICE)
        assert health.Check(about).status == NOT_SERVING
        watched = list(daemon.stub.WatchRelease(WatchReleaseRequest(name=ended.release.name)))
        assert watched == ended.events
        with pytest.raises(grpc.RpcError) as refusal:
            daemon.stub.StartRelease(release_request("true", image=image))
        assert refusal.value.code() is grpc.StatusCode.UNAVAILABLE
        dockerd.start(live_restore=True)
        answers = health.Watch(about, timeout=PATIENCE)
        assert SERVING in (answer.status for answer in answers)
        answers.cancel()
        (tmp_path / "enough").touch()
        outcome = daemon.outcome(under_way.name)
        assert outcome.state == "SUCCEEDED", outcome.message
        assert_counted(outcome, tmp_path)
        next_one = daemon.outcome(daemon.stub.StartRelease(release_request("echo next", image=image)).name)
        assert next_one.output() == b"next\n"
        assert not dockerd.engine.release_containers()


async def test_a_container_made_behind_a_refusal_is_taken(
    faulty: FaultyEngine, engine: Engine, busybox_image: str, tmp_path: Path
) -> None:
    """The engine answers 500 and has made it all the same: it is found, and runs the commands once."""
    async with serving_app(faulty.url, busybox_image) as app:
        faulty.belies = lambda line: line.startswith("POST") and "/containers/create" in line
        outcome = await app.run("echo >> /m/runs; echo done", mounts=mounted(tmp_path))
        assert (outcome.state, outcome.output()) == ("SUCCEEDED", b"done\n")
        assert (tmp_path / "runs").read_text() == "\n"
        assert not engine.release_containers()


async def test_a_container_started_behind_a_refusal_is_removed(
    faulty: FaultyEngine, engine: Engine, busybox_image: str, tmp_path: Path
) -> None:
    """The engine answers 500 and has started it all the same: none of its commands is let go."""
    async with serving_app(faulty.url, busybox_image) as app:
        faulty.belies = lambda line: line.startswith("POST") and "/start" in line
        outcome = await app.run("touch /m/ran", mounts=mounted(tmp_path))
        assert (outcome.state, outcome.cause) == ("FAILED", "CONTAINER_FAILED")
        assert "not today" in outcome.message
        assert outcome.command_states == ["SKIPPED"]
        assert "container_removed" in outcome.kinds
        assert not (tmp_path / "ran").exists()
        assert not engine.release_containers()


async def test_a_kill_that_hangs_blocks_its_lane_and_no_other(
    faulty: FaultyEngine, engine: Engine, busybox_image: str
) -> None:
    """The status says what is wrong with it; it ends as what it was when the engine answers again."""
    settings = {"control_timeout": 0.5}
    async with (
        asyncio.timeout(PATIENCE),
        serving_app(faulty.url, busybox_image, engine=settings, stop_grace=0.2) as app,
    ):
        blocked = await app.start("echo up; sleep 1000", timeout=2)
        behind = await app.start("echo behind")
        await app.until_output(blocked.name, b"up\n")
        stuck = (await app.stub.GetRelease(GetReleaseRequest(name=blocked.name))).container_id
        faulty.hangs = lambda line: stuck in line and ("/kill" in line or line.startswith("DELETE"))
        lane = await lane_in_trouble(app, "shop/live")
        assert lane.running_release == blocked.name
        assert list(lane.queued_releases) == [behind.name]
        assert (await app.run("echo other", environment="staging")).output() == b"other\n"
        got = await app.stub.GetRelease(GetReleaseRequest(name=behind.name))
        assert got.state == Release.STATE_QUEUED
        faulty.hangs = lambda line: False
        assert (await app.outcome(blocked.name)).cause == "COMMAND_TIMED_OUT"
        assert (await app.outcome(behind.name)).output() == b"behind\n"
        assert not any(lane.trouble for lane in (await app.status()).lanes)
        assert not engine.release_containers()
