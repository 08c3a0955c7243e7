"""What becomes of releases when their engine hangs, is away, or does not do what it says.

The engine is a real one of each test's own; a faulty one stands in for what a real one can't be made to do.
"""

import asyncio
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable
from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from released.engine.engine import Engine as DaemonsEngine
from released.engine.errors import EngineUnreachable
from releasephase.v1.daemon_service_pb2 import LaneStatus
from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import GetReleaseRequest, ListReleasesRequest, WatchReleaseRequest
from support import busybox
from support.app import App, release_request, serving_app
from support.docker_engine import Engine
from support.engine_trouble import (
    COUNT,
    NOT_SERVING,
    PATIENCE,
    RELEASE_SERVICE,
    SERVING,
    assert_counted,
    health_becomes,
    health_stub,
    mounted,
    serving,
)
from support.faulty_engine import FaultyEngine, faulty_engine
from support.private_docker import PrivateDocker
from support.process import DaemonProcess
from support.rpc_errors import details_of, refused


@pytest.fixture
async def faulty(engine: Engine) -> AsyncIterator[FaultyEngine]:
    """A way to the engine on which some requests fail."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        async with faulty_engine(Path(folder), engine.url) as faulty:
            yield faulty


async def lane_in_trouble(app: App, target: str) -> LaneStatus:
    """Wait until the status names what is wrong with a lane."""
    while True:
        (lane,) = [lane for lane in (await app.status()).lanes if lane.target == target]
        if lane.trouble:
            return lane


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
