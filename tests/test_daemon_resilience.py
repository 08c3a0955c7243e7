"""What must hold when something around a release misbehaves: the engine, the log, an entrypoint, callers."""

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from released.release import cleaning
from releasephase.v1.release_pb2 import Mount, Release
from releasephase.v1.release_service_pb2 import (
    CancelReleaseRequest,
    EnvironmentVariable,
    GetReleaseRequest,
    ListReleasesRequest,
)
from support.app import App, Serve, serving_app
from support.docker_engine import Engine
from support.faulty_engine import FaultyEngine, faulty_engine

_INIT_SCRIPT = (
    "exec 3<&0; trap 'kill -TERM $!' TERM; \"$@\" <&3 & while kill -0 $! 2>/dev/null; do wait $!; done"
)
INIT = f"ENTRYPOINT {json.dumps(['/bin/sh', '-c', _INIT_SCRIPT, 'init'])}"
"""An entrypoint that runs its arguments as a child and sends signals on to it, as an init does."""


@pytest.fixture
async def faulty(engine: Engine) -> AsyncIterator[FaultyEngine]:
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        async with faulty_engine(Path(folder), engine.url) as faulty:
            yield faulty


async def test_an_init_as_entrypoint_does_not_multiply_sigterm(
    app: App, make_busybox_image: Callable[..., str]
) -> None:
    """A second SIGTERM makes many programs quit the hard way: the command gets one."""
    line = "trap 'echo term' TERM; echo up; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 0.1; done"
    outcome = await app.run(line, image=make_busybox_image(INIT), timeout=0.5)
    assert outcome.cause == "COMMAND_TIMED_OUT", outcome.message
    assert outcome.output().count(b"term\n") == 1


async def test_variables_of_the_supervisor_do_not_reach_the_application(app: App, dash_image: str) -> None:
    """Whatever names the application uses, it gets its own values, and the nonce gets nowhere."""
    names = ["nonce", "index", "line", "status", "gate", "command", "signalled", "again", "forwarded"]
    env = [EnvironmentVariable(name=name, value="mine") for name in names]
    for image in (app.image, dash_image):
        outcome = await app.run("env | sort", "env | sort", env=env, image=image)
        for index in range(2):
            lines = outcome.output(index).decode().splitlines()
            assert {f"{name}=mine" for name in names} <= set(lines)
            assert not [line for line in lines if line.startswith("__releasephase")]


async def test_a_container_that_can_t_be_removed_keeps_its_lane(
    faulty: FaultyEngine, busybox_image: str, tmp_path: Path
) -> None:
    """No result, and no other release of the target, while something of it may still run."""
    async with serving_app(faulty.url, busybox_image, stop_grace=0.2) as app:
        refused = asyncio.Event()

        def refuse(line: str) -> bool:
            refused.set()
            return line.startswith("DELETE") or "/kill" in line

        mounts = [Mount(source=str(tmp_path), target="/m")]
        first = await app.start("while :; do date > /m/alive; sleep 0.1; done", mounts=mounts, timeout=0.5)
        second = await app.start("test ! -e /m/alive")
        await app.until(first.name, "command_started")
        faulty.fails = refuse
        refused.clear()
        await app.until(first.name, "signal_sent")
        for _ in range(3):
            refused.clear()
            await refused.wait()
        states = [(await app.stub.GetRelease(GetReleaseRequest(name=r.name))).state for r in (first, second)]
        assert states == [Release.STATE_RUNNING, Release.STATE_QUEUED]
        faulty.fails = lambda line: False
        outcome = await app.outcome(first.name)
        assert (outcome.cause, outcome.command_states) == ("COMMAND_TIMED_OUT", ["TIMED_OUT"])
        (tmp_path / "alive").unlink()
        assert (await app.outcome(second.name)).state == "SUCCEEDED"
        assert not (tmp_path / "alive").exists()


async def test_a_container_that_has_ended_and_can_t_be_removed_holds_up_nobody(
    faulty: FaultyEngine, engine: Engine, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it can run any more: after some attempts it is left to the operator."""
    monkeypatch.setattr(cleaning, "FIRST_PAUSE", 0.01)
    async with serving_app(faulty.url, busybox_image) as app:
        faulty.fails = lambda line: line.startswith("DELETE")
        outcome = await app.run("echo done")
        assert (outcome.state, outcome.output()) == ("SUCCEEDED", b"done\n")
        assert "container_removed" not in outcome.kinds
    engine.http.request("DELETE", f"/containers/{outcome.release.container_id}", {"force": "1"})


async def test_queued_releases_wait_for_an_engine_that_is_away(
    faulty: FaultyEngine, busybox_image: str
) -> None:
    """They keep their places, can be cancelled meanwhile, and run when it is back."""
    async with serving_app(faulty.url, busybox_image) as app:
        first = await app.start("echo up; sleep 1000")
        second, third = await app.start("true"), await app.start("echo third")
        await app.until_output(first.name, b"up\n")
        faulty.fails = lambda line: "/version" in line
        assert not (await app.status()).engine.reachable
        await app.cancel(second.name)
        await app.cancel(first.name)
        assert (await app.outcome(second.name)).state == "CANCELLED"
        assert (await app.outcome(first.name)).state == "CANCELLED"
        release = await app.stub.GetRelease(GetReleaseRequest(name=third.name))
        assert (release.state, release.queue_position) == (Release.STATE_QUEUED, 1)
        faulty.fails = lambda line: False
        assert (await app.status()).engine.reachable
        assert (await app.outcome(third.name)).output() == b"third\n"


async def test_a_locked_log_is_waited_for(app: App, caplog: pytest.LogCaptureFixture) -> None:
    """A person with a transaction open in sqlite3 delays a release, and does not end it."""
    release = await app.start("for i in 1 2 3 4 5; do echo $i; sleep 0.1; done", "echo done")
    await app.until(release.name, "command_started")
    other = sqlite3.connect(app.config.audit.path, isolation_level=None, check_same_thread=False)
    # In a thread: the daemon, which may hold the lock just now, has to get on to give it up.
    await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")
    while "locked by another process" not in caplog.text:  # noqa: ASYNC110 - a log has no event
        await asyncio.sleep(0.05)
    other.execute("ROLLBACK")
    other.close()
    outcome = await app.outcome(release.name)
    assert (outcome.state, outcome.output(0), outcome.output(1)) == (
        "SUCCEEDED",
        b"1\n2\n3\n4\n5\n",
        b"done\n",
    )


async def test_many_cancels_at_once_of_a_queued_release(app: App) -> None:
    """Each is answered with the release, and one is recorded."""
    first = await app.start("echo up; sleep 1000")
    second = await app.start("true")
    request = CancelReleaseRequest(name=second.name)
    answers = await asyncio.gather(*(app.stub.CancelRelease(request) for _ in range(10)))
    assert {answer.state for answer in answers} == {Release.STATE_CANCELLED}
    assert (await app.outcome(second.name)).kinds.count("cancel_requested") == 1
    await app.cancel(first.name)
    await app.outcome(first.name)


async def test_cancelling_while_the_container_is_being_made_starts_nothing(app: App) -> None:
    """An entrypoint may do something already: it does not run for a release that is cancelled by then."""
    release = await app.start("true")
    await app.cancel(release.name)
    outcome = await app.outcome(release.name)
    assert outcome.state == "CANCELLED"
    assert "command_started" not in outcome.kinds


async def test_memory_that_an_earlier_command_ran_out_of_is_not_blamed_on_a_later_one(app: App) -> None:
    """It failed by itself; the message mentions what else happened in its container."""
    outcome = await app.run(
        "tail /dev/zero; true",
        "exit 3",
        resources={"memory_bytes": 32 << 20},
    )
    assert (outcome.cause, outcome.release.command_runs[1].exit_code) == ("COMMAND_FAILED", 3)
    assert "out of memory" in outcome.message


async def test_an_image_id_that_is_not_there_is_not_asked_for(app: App) -> None:
    """No registry knows ids; the message says so at once."""
    outcome = await app.run("true", image="sha256:" + "0" * 64)
    assert outcome.cause == "IMAGE_UNAVAILABLE"
    assert "an id can't be pulled" in outcome.message


async def test_a_page_of_large_releases_ends_early(app: App) -> None:
    """gRPC's clients take 4 MiB a message: a page is shorter then, and the next one goes on."""
    first = await app.start("echo up; sleep 1000")
    large = [await app.start(*["#" * 60_000 + "\ntrue"] * 16) for _ in range(5)]
    names: list[str] = []
    token = ""
    while True:
        page = await app.stub.ListReleases(ListReleasesRequest(page_token=token))
        assert page.ByteSize() < 4 << 20
        names += [release.name for release in page.releases]
        token = page.next_page_token
        if not token:
            break
    assert names == [release.name for release in reversed([first, *large])]
    for release in reversed([first, *large]):
        await app.cancel(release.name)
    await app.outcome(first.name)


async def test_a_watch_from_beyond_the_end_ends(serve: Serve) -> None:
    """A client that comes with a sequence of another log is not kept for ever."""
    async with serve() as app:
        outcome = await app.run("true")
        assert [event async for event in app.watch(outcome.release.name, 10**9)] == []
