"""Draining a real daemon: what runs is finished, what is queued waits for the next start, then it ends."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from releasephase.v1.daemon_service_pb2 import DaemonStatus, DrainProgress, DrainRequest, GetStatusRequest
from releasephase.v1.release_pb2 import Mount, Release
from releasephase.v1.release_service_pb2 import (
    CancelReleaseRequest,
    EnvironmentVariable,
    GetReleaseRequest,
    ReleaseCommand,
    StartReleaseRequest,
    WatchReleaseRequest,
)
from support.app import serving_app
from support.docker_engine import Engine
from support.faulty_engine import faulty_engine
from support.process import DaemonProcess
from support.rpc_errors import details_of

WAIT = "echo up; until [ -e /gate/open ]; do sleep 0.05; done"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder in memory, as /run is."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name:
        yield Path(name)


@pytest.fixture
def daemon(folder: Path, engine: Engine) -> Iterator[DaemonProcess]:
    with DaemonProcess(folder, engine.url) as daemon:
        yield daemon


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Commands wait until there is a file `open` in it."""
    return tmp_path


class Agent:
    """Starts and follows releases whose folder /gate is the gate."""

    def __init__(self, daemon: DaemonProcess, image: str, gate: Path) -> None:
        self.daemon, self.image, self.gate = daemon, image, gate

    def request(self, line: str, environment: str = "live", **env: str) -> StartReleaseRequest:
        return StartReleaseRequest(
            application="shop",
            environment=environment,
            image=self.image,
            commands=[ReleaseCommand(label="command", line=line)],
            env=[EnvironmentVariable(name=name, value=value) for name, value in env.items()],
            mounts=[Mount(source=str(self.gate), target="/gate")],
        )

    def start(self, line: str, environment: str = "live", **env: str) -> Release:
        return self.daemon.stub.StartRelease(self.request(line, environment, **env))

    def start_and_see_it_run(self) -> Release:
        release = self.start(WAIT)
        call = self.daemon.stub.WatchRelease(WatchReleaseRequest(name=release.name))
        assert any(b"up\n" in event.command_output.data for event in call)
        call.cancel()
        return release

    def drain(self) -> Any:
        return self.daemon.daemon.Drain(DrainRequest())

    def ended(self, release: Release) -> Release:
        """The release as it is at its end."""
        for _ in self.daemon.stub.WatchRelease(WatchReleaseRequest(name=release.name)):
            pass
        return self.daemon.stub.GetRelease(GetReleaseRequest(name=release.name))

    def status(self) -> DaemonStatus:
        return self.daemon.daemon.GetStatus(GetStatusRequest())


@pytest.fixture
def agent(daemon: DaemonProcess, busybox_image: str, gate: Path) -> Agent:
    return Agent(daemon, busybox_image, gate)


def reason_of(error: Any) -> str:
    return str(details_of(error)[0].reason)


def counts(progress: DrainProgress) -> tuple[int, int]:
    return progress.running_releases, progress.queued_releases


def test_drain_finishes_what_runs_and_leaves_what_is_queued(daemon: DaemonProcess, agent: Agent) -> None:
    """The daemon ends by itself, with 0; what was queued runs after the next start, with its values."""
    running = agent.start_and_see_it_run()
    queued = agent.start('test "$STAGE" = live', STAGE="live")
    drain = agent.drain()
    assert counts(next(drain)) == (1, 1)
    assert agent.status().draining
    (agent.gate / "open").touch()
    assert [counts(progress) for progress in drain] == [(0, 1)]
    assert daemon.wait() == 0
    assert not daemon.socket.exists()
    daemon.start()
    assert agent.ended(running).state == Release.STATE_SUCCEEDED
    assert agent.ended(queued).state == Release.STATE_SUCCEEDED
    assert not agent.status().draining


def test_nothing_is_accepted_while_it_drains(daemon: DaemonProcess, agent: Agent) -> None:
    """UNAVAILABLE, for callers and in the health; reading goes on."""
    running = agent.start_and_see_it_run()
    next(agent.drain())
    with pytest.raises(grpc.RpcError) as refused:
        agent.start("true", "test")
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert reason_of(refused.value) == "DRAINING"
    health: Any = health_pb2_grpc.HealthStub(daemon.channel)
    for service, state in (("ReleaseService", "NOT_SERVING"), ("DaemonService", "SERVING")):
        answer = health.Check(health_pb2.HealthCheckRequest(service=f"releasephase.v1.{service}"))
        assert health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status) == state
    assert agent.daemon.stub.GetRelease(GetReleaseRequest(name=running.name)).state == Release.STATE_RUNNING
    (agent.gate / "open").touch()
    assert daemon.wait() == 0


def test_drain_goes_on_without_its_client_and_a_second_one_follows_it(
    daemon: DaemonProcess, agent: Agent
) -> None:
    """It belongs to nobody who calls; every change is told to everybody who follows."""
    agent.start_and_see_it_run()
    queued = [agent.start("true") for _ in range(2)]
    first = agent.drain()
    assert counts(next(first)) == (1, 2)
    first.cancel()
    second, third = agent.drain(), agent.drain()
    assert counts(next(second)) == counts(next(third)) == (1, 2)
    daemon.stub.CancelRelease(CancelReleaseRequest(name=queued[0].name))
    assert counts(next(second)) == counts(next(third)) == (1, 1)
    (agent.gate / "open").touch()
    for drain in (second, third):
        assert [counts(progress) for progress in drain] == [(0, 1)]
    assert daemon.wait() == 0


def test_daemon_without_work_ends_at_once(daemon: DaemonProcess, agent: Agent) -> None:
    """With the command line, which says so and exits with 0."""
    result = daemon.releasectl("drain")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "drained\n")
    assert daemon.wait() == 0
    assert "drained" in daemon.log


def test_sigterm_ends_a_drain_at_once(daemon: DaemonProcess, agent: Agent) -> None:
    """Who does not want to wait any longer need not; a caller is not told that it was finished."""
    running = agent.start_and_see_it_run()
    drain = agent.drain()
    assert counts(next(drain)) == (1, 0)
    assert daemon.terminate() == 0
    with pytest.raises(grpc.RpcError):
        next(drain)
    (agent.gate / "open").touch()
    daemon.start()
    assert agent.ended(running).state in (Release.STATE_SUCCEEDED, Release.STATE_FAILED)


def test_what_was_accepted_when_the_drain_began_is_not_lost(daemon: DaemonProcess, agent: Agent) -> None:
    """Of many requests at the same moment each is refused, or runs: now or after the next start."""
    agent.start_and_see_it_run()  # so that the daemon is there until all are answered
    calls = [daemon.stub.StartRelease.future(agent.request("true", f"stage-{n}")) for n in range(30)]
    calls[4].result()
    drains = [agent.drain() for _ in range(3)]
    calls += [daemon.stub.StartRelease.future(agent.request("true", f"late-{n}")) for n in range(30)]
    accepted = []
    for call in calls:
        if error := call.exception():
            assert reason_of(error) == "DRAINING"
        else:
            accepted.append(call.result())
    (agent.gate / "open").touch()
    for drain in drains:
        *_, last = drain
        assert last.running_releases == 0
    assert daemon.wait() == 0
    daemon.start()
    assert {agent.ended(release).state for release in accepted} <= {Release.STATE_SUCCEEDED}


async def test_engine_that_comes_back_starts_nothing_that_is_queued(
    engine: Engine, busybox_image: str, gate: Path
) -> None:
    """Nor does a lane that becomes idle: the daemon would never come to its end."""
    mounts = [Mount(source=str(gate), target="/gate")]
    async with (
        faulty_engine(gate.parent, engine.url) as faulty,
        serving_app(faulty.url, busybox_image) as app,
    ):
        long = await app.start(WAIT, environment="live", mounts=mounts)
        short = await app.start("sleep 1000", environment="test", mounts=mounts)
        queued = await app.start("true", environment="test")
        await app.until(short.name, "command_started")
        drain = app.daemon.Drain(DrainRequest())
        progress = aiter(drain)
        assert counts(await anext(progress)) == (2, 1)
        await app.cancel(short.name)
        assert counts(await anext(progress)) == (1, 1)
        faulty.fails = lambda line: "/version" in line
        assert not (await app.status()).engine.reachable
        faulty.fails = lambda line: False
        status = await app.status()
        assert status.engine.reachable
        lanes = {lane.target: (lane.running_release, list(lane.queued_releases)) for lane in status.lanes}
        assert lanes == {"shop/live": (long.name, []), "shop/test": ("", [queued.name])}
        health: Any = health_pb2_grpc.HealthStub(app.channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service="releasephase.v1.ReleaseService"))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        (gate / "open").touch()
        assert [counts(each) async for each in progress] == [(0, 1)]
