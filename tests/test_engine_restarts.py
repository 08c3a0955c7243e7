"""What becomes of releases when their engine restarts: a real one, of each test's own."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from support.engine_trouble import (
    COUNT,
    NOT_SERVING,
    SERVING,
    assert_counted,
    end_between_lines,
    exists,
    health_becomes,
    mounted,
    serving,
)
from support.private_docker import PrivateDocker


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
