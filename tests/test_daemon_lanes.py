"""Lanes on a real engine: one release after the other in a target, targets side by side."""

import asyncio
from pathlib import Path
from uuid import uuid4

import grpc.aio
import pytest

from releasephase.v1.daemon_service_pb2 import GetStatusRequest
from releasephase.v1.release_pb2 import ON_BUSY_REJECT, Release
from releasephase.v1.release_service_pb2 import GetReleaseRequest
from support.app import App, Serve
from support.rpc_errors import details_of, refused


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A folder to mount: commands wait until there is a file `open` in it."""
    (tmp_path / "gate").mkdir()
    return tmp_path / "gate"


def mounted(gate: Path) -> list[dict[str, str]]:
    return [{"source": str(gate), "target": "/gate"}]


def waiting(number: int) -> str:
    """A line that notes its start, waits for the gate, and notes its end."""
    note = f"echo {number} >> /gate/order"
    return f"{note}; until [ -e /gate/open ]; do sleep 0.05; done; {note}"


async def test_releases_of_one_target_run_one_after_the_other(app: App, gate: Path) -> None:
    """They start in the order in which they were accepted, and never overlap."""
    releases = [await app.start(waiting(number), mounts=mounted(gate)) for number in range(4)]
    assert [release.queue_position for release in releases] == [0, 1, 2, 3]
    await app.until(releases[0].name, "command_started")
    (gate / "open").touch()
    outcomes = [await app.outcome(release.name) for release in releases]
    assert [outcome.state for outcome in outcomes] == ["SUCCEEDED"] * 4
    assert (gate / "order").read_text().split() == ["0", "0", "1", "1", "2", "2", "3", "3"]


async def test_releases_of_different_targets_run_side_by_side(app: App, gate: Path) -> None:
    """All of them are under way before the first one ends."""
    targets = [("shop", "live"), ("shop", "test"), ("blog", "live")]
    releases = [
        await app.start(waiting(0), application=a, environment=e, mounts=mounted(gate)) for a, e in targets
    ]
    await asyncio.gather(*(app.until(release.name, "command_started") for release in releases))
    status = await app.daemon.GetStatus(GetStatusRequest())
    assert status.running_releases == 3
    assert {(lane.target, lane.running_release) for lane in status.lanes} == {
        ("/".join(target), release.name) for target, release in zip(targets, releases, strict=True)
    }
    (gate / "open").touch()
    assert [(await app.outcome(release.name)).state for release in releases] == ["SUCCEEDED"] * 3


async def test_no_more_than_max_concurrent_are_under_way(serve: Serve, gate: Path) -> None:
    """What exceeds the limit waits, first come, first served, though its own lane is free."""
    async with serve(max_concurrent=2) as app:
        releases = [
            await app.start(waiting(number), environment=f"stage-{number}", mounts=mounted(gate))
            for number in range(4)
        ]
        assert [release.state for release in releases[2:]] == [Release.STATE_QUEUED] * 2
        assert [release.queue_position for release in releases[2:]] == [1, 1]
        await asyncio.gather(*(app.until(release.name, "command_started") for release in releases[:2]))
        status = await app.daemon.GetStatus(GetStatusRequest())
        assert (status.running_releases, status.max_concurrent, len(status.lanes)) == (2, 2, 4)
        (gate / "open").touch()
        outcomes = [await app.outcome(release.name) for release in releases]
    assert [outcome.state for outcome in outcomes] == ["SUCCEEDED"] * 4
    starts = [outcome.release.start_time.ToNanoseconds() for outcome in outcomes]
    assert starts == sorted(starts)


async def test_on_busy_reject_refuses_a_busy_target(app: App, gate: Path) -> None:
    """For agents that would rather fail than wait; another target is not busy."""
    first = await app.start(waiting(0), mounts=mounted(gate))
    error = await refused(app.start("true", on_busy=ON_BUSY_REJECT))
    assert error.code() is grpc.StatusCode.ABORTED
    info, _ = details_of(error)
    assert (info.domain, info.reason) == ("releasephase", "TARGET_BUSY")
    assert dict(info.metadata) == {"target": "shop/live"}
    assert (await app.run("true", environment="test", on_busy=ON_BUSY_REJECT)).state == "SUCCEEDED"
    (gate / "open").touch()
    await app.outcome(first.name)
    assert (await app.run("true", on_busy=ON_BUSY_REJECT)).state == "SUCCEEDED"


async def test_two_that_would_not_wait_can_t_both_start(app: App, gate: Path) -> None:
    """Of many at the same moment, exactly one is accepted."""
    starts = [app.start(waiting(number), on_busy=ON_BUSY_REJECT, mounts=mounted(gate)) for number in range(8)]
    results = await asyncio.gather(*starts, return_exceptions=True)
    accepted = [result for result in results if isinstance(result, Release)]
    assert len(accepted) == 1
    (gate / "open").touch()
    assert (await app.outcome(accepted[0].name)).state == "SUCCEEDED"


async def test_the_queue_moves_on_after_a_failure(app: App, gate: Path) -> None:
    """A failed release blocks nobody behind it, and positions move up."""
    first = await app.start(waiting(0) + "; exit 1", mounts=mounted(gate))
    second = await app.start(waiting(1), mounts=mounted(gate))
    third = await app.start("true")
    assert (second.queue_position, third.queue_position) == (1, 2)
    await app.cancel(second.name)
    third = await app.stub.GetRelease(GetReleaseRequest(name=third.name))
    assert third.queue_position == 1
    (gate / "open").touch()
    assert (await app.outcome(first.name)).state == "FAILED"
    assert (await app.outcome(third.name)).state == "SUCCEEDED"


async def test_no_more_than_max_queued_wait_in_a_lane(serve: Serve, gate: Path) -> None:
    """What they keep in memory has an end; a repeated request is answered all the same."""
    async with serve(max_queued=2) as app:
        request_id = str(uuid4())
        first = await app.start(waiting(0), mounts=mounted(gate))
        await app.until(first.name, "command_started")
        queued = [await app.start("true"), await app.start("true", request_id=request_id)]
        for validate_only in (True, False):
            error = await refused(app.start("true", validate_only=validate_only))
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            info, _ = details_of(error)
            assert (info.reason, dict(info.metadata)) == ("LANE_FULL", {"target": "shop/live"})
            assert "shop/live has 2 releases waiting" in (error.details() or "")
        assert (await app.start("true", request_id=request_id)).name == queued[1].name
        assert (await app.start()).state == Release.STATE_SUCCEEDED
        assert (await app.run("true", environment="test")).state == "SUCCEEDED"
        await app.cancel(queued[0].name)
        queued[0] = await app.start("true")
        (gate / "open").touch()
        outcomes = [await app.outcome(release.name) for release in (first, *queued)]
    assert [outcome.state for outcome in outcomes] == ["SUCCEEDED"] * 3


async def test_of_many_at_once_as_many_are_accepted_as_may_wait(serve: Serve, gate: Path) -> None:
    """One runs, the others wait, and nobody slips in between."""
    async with serve(max_queued=3) as app:
        starts = [app.start(waiting(number), mounts=mounted(gate)) for number in range(10)]
        answers = await asyncio.gather(*starts, return_exceptions=True)
        accepted = [answer for answer in answers if isinstance(answer, Release)]
        assert len(accepted) == 4
        (gate / "open").touch()
        assert {(await app.outcome(release.name)).state for release in accepted} == {"SUCCEEDED"}


async def test_fifty_targets_at_once(app: App) -> None:
    """All succeed, never more than the limit are under way, first accepted is first started."""
    outcomes = await asyncio.gather(*(app.run("echo done", environment=f"stage-{n}") for n in range(50)))
    assert {outcome.state for outcome in outcomes} == {"SUCCEEDED"}
    moments = [(o.release.start_time.ToNanoseconds(), 1) for o in outcomes]
    moments += [(o.release.end_time.ToNanoseconds(), -1) for o in outcomes]
    under_way = most = 0
    for _, change in sorted(moments):
        under_way += change
        most = max(most, under_way)
    assert most == app.config.releases.max_concurrent
    left_queue = {o.events[0].sequence: o.events[1].sequence for o in outcomes}
    order = sorted(left_queue.values())
    for place, accepted in enumerate(sorted(left_queue)):
        # Those that start side by side may be recorded in any order.
        assert abs(order.index(left_queue[accepted]) - place) < app.config.releases.max_concurrent
