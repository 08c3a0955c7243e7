"""Watching releases: replay, resume, several watchers, slow ones, and those who leave."""

import asyncio
from datetime import timedelta
from functools import partial
from pathlib import Path

import grpc.aio
import pytest

from released import app as app_module
from released.service.releases import ReleaseService
from releasephase.v1 import release_service_pb2_grpc
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import GetReleaseRequest, ListReleasesRequest, WatchReleaseRequest
from support.app import App, serving_app
from support.docker_engine import Engine


async def test_events_rise_and_end_with_the_terminal_state(app: App) -> None:
    """The last event says how the release ended; then the stream ends."""
    outcome = await app.run("echo a", "echo b")
    sequences = [event.sequence for event in outcome.events]
    assert sequences == sorted(set(sequences))
    assert outcome.events[-1].state_changed.state == Release.STATE_SUCCEEDED
    assert outcome.release.last_sequence == sequences[-1]
    assert {event.release for event in outcome.events} == {outcome.release.name}


async def test_a_replay_is_the_same_as_what_was_seen_live(app: App) -> None:
    """Whoever comes late misses nothing."""
    release = await app.start("echo a; sleep 0.2; echo b")
    live = await app.outcome(release.name)
    replay = await app.outcome(release.name)
    assert replay.events == live.events


async def test_a_watch_goes_on_after_any_sequence(app: App) -> None:
    """Cut at any event, two watches together give what one would have given."""
    whole = (await app.run("echo a", "echo b; exit 1", "true")).events
    for cut in range(len(whole) + 1):
        after = whole[cut - 1].sequence if cut else 0
        rest = [event async for event in app.watch(whole[0].release, after)]
        assert rest == whole[cut:]


async def test_many_watchers_see_the_same(app: App) -> None:
    """Each follows by itself."""
    release = await app.start("for i in 1 2 3 4 5; do echo $i; sleep 0.05; done")
    outcomes = await asyncio.gather(*(app.outcome(release.name) for _ in range(20)))
    assert all(outcome.events == outcomes[0].events for outcome in outcomes)
    assert outcomes[0].output() == b"1\n2\n3\n4\n5\n"


async def test_a_stopped_watcher_holds_up_nobody(app: App) -> None:
    """One that never reads costs neither the release nor the other watchers anything."""
    async with grpc.aio.insecure_channel(f"unix:{app.config.server.socket}") as channel:
        stub = release_service_pb2_grpc.ReleaseServiceStub(channel)
        release = await app.start("head -c 30000000 /dev/zero")
        stopped = aiter(stub.WatchRelease(WatchReleaseRequest(name=release.name)))
        first: ReleaseEvent = await anext(stopped)
        outcome = await app.outcome(release.name)
        assert (outcome.state, len(outcome.output())) == ("SUCCEEDED", 30_000_000)
        # It may go on whenever it likes, and finds everything.
        rest = [event async for event in stopped]
    assert [first, *rest] == outcome.events


async def test_the_release_goes_on_when_its_watchers_leave(app: App, tmp_path: Path) -> None:
    """Nobody has to be there."""
    mounts = [{"source": str(tmp_path), "target": "/gate"}]
    release = await app.start(
        "echo up; until [ -e /gate/open ]; do sleep 0.05; done; echo done", mounts=mounts
    )
    for _ in range(5):
        await app.until_output(release.name, b"up\n")
    (tmp_path / "open").touch()
    assert (await app.outcome(release.name)).output() == b"up\ndone\n"


async def test_a_caller_that_leaves_while_starting_does_not_matter(app: App) -> None:
    """Whether the answer is waited for or not, every release that was accepted ends, and nothing hangs."""
    for turns in range(30):
        call = app.stub.StartRelease(app.request("true", environment=f"stage-{turns % 5}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
    for stage in range(5):
        assert (await app.run("true", environment=f"stage-{stage}")).state == "SUCCEEDED"
    listed = (await app.stub.ListReleases(ListReleasesRequest())).releases
    assert len(listed) >= 5
    assert {release.state for release in listed} == {Release.STATE_SUCCEEDED}


async def test_a_silent_stream_gives_a_sign_of_life(
    engine: Engine, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It tells the state, the position and the running command, with the sequence to come back with."""
    impatient = partial(ReleaseService, idle_interval=timedelta(seconds=0.2))
    monkeypatch.setattr(app_module, "ReleaseService", impatient)
    async with serving_app(engine.url, busybox_image) as app:
        running = await app.start("true", "echo up; sleep 1000")
        await app.until_output(running.name, b"up\n")
        queued = await app.start("true")
        of_running = await app.until(running.name, "progress_notice")
        of_queued = await app.until(queued.name, "progress_notice")
        last = (await app.stub.GetRelease(GetReleaseRequest(name=running.name))).last_sequence
        await app.cancel(queued.name)
        await app.cancel(running.name)
        await app.outcome(running.name)
    notice = of_running.progress_notice
    assert (of_running.sequence, notice.state, notice.command_index) == (last, Release.STATE_RUNNING, 1)
    notice = of_queued.progress_notice
    assert (notice.state, notice.queue_position) == (Release.STATE_QUEUED, 1)
    assert not notice.HasField("command_index")
