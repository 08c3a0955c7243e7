"""Releases that are tried again after other things have happened: what they rest on may be gone by now."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import pytest

from releasephase.v1.release_pb2 import OUTCOME_ABANDONED, Mount, Release
from releasephase.v1.release_service_pb2 import (
    ListReleasesRequest,
    ReleaseCommand,
    ReportOutcomeRequest,
)
from support.app import App
from support.marks import allow, marks, retried, retry
from support.rpc_errors import details_of, refused


def undoable(folder: Path, *names: str, **fields: Any) -> dict[str, Any]:
    """What a request has whose commands leave marks in a folder, and so do their rollbacks.

    The last command fails unless there is a file of its name, each rollback unless there is `undo-NAME`.
    """
    commands = [
        ReleaseCommand(
            label=name,
            line=f"echo +{name} >> /m/marks; {f'test -e /m/{name}' if name == names[-1] else 'true'}",
            rollback=f"echo -{name} >> /m/marks; test -e /m/undo-{name}",
        )
        for name in names
    ]
    return {"commands": commands, "mounts": [Mount(source=str(folder), target="/m")], **fields}


def abandoned(name: str) -> ReportOutcomeRequest:
    """Asks for a rollback."""
    return ReportOutcomeRequest(name=name, outcome=OUTCOME_ABANDONED, run_rollback=True)


async def why(call: Coroutine[Any, Any, object]) -> tuple[str, str]:
    """For which reason a call is refused, and which release that names."""
    error = await refused(call)
    info, _ = details_of(error)
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION
    return info.reason, info.metadata["rollback" if info.reason.startswith("ROLLBACK") else "release"]


async def number_of_releases(app: App) -> int:
    return len((await app.stub.ListReleases(ListReleasesRequest())).releases)


async def nothing_is_left_waiting(app: App) -> bool:
    return not list((await app.status()).lanes)


async def test_newer_release_has_built_upon_it(app: App) -> None:
    """What is left of it does not run behind another version, be that one under way or ended."""
    first = (await app.run("true", "false")).release.name
    newer = await app.start("echo up; sleep 60")
    await app.until_output(newer.name, b"up\n")
    assert await why(retry(app, first)) == ("NEWER_RELEASE", newer.name)
    await app.cancel(newer.name)
    await app.outcome(newer.name)
    assert await why(retry(app, first)) == ("NEWER_RELEASE", newer.name)
    assert await nothing_is_left_waiting(app)


async def test_from_the_start_it_rests_on_nothing(app: App) -> None:
    """It is what a new release of the old version would be."""
    first = (await app.run("true", "false")).release.name
    await app.run("true")
    assert (await retried(app, first, from_start=True)).command_states == ["SUCCEEDED", "FAILED"]


async def test_release_that_ran_no_command_changed_nothing(app: App) -> None:
    """Nor did one of another target."""
    first = (await app.run("true", "false")).release.name
    assert (await app.run("true", image="missing:1", pull_policy="PULL_POLICY_NEVER")).state == "FAILED"
    await app.run("true", environment="test")
    assert (await retried(app, first)).command_states == ["SKIPPED", "FAILED"]


async def test_second_retry_goes_to_the_first_one(app: App) -> None:
    """To the last, that is, if that was tried again itself; or what succeeded there would run once more."""
    first = (await app.run("true", "false")).release.name
    second = (await retried(app, first)).release.name
    third = (await retried(app, second)).release.name
    for name in (first, second):
        for from_start in (False, True):
            assert await why(retry(app, name, from_start=from_start)) == ("ALREADY_RETRIED", third)
    assert await number_of_releases(app) == 3


async def test_repeated_request_is_no_second_retry(app: App) -> None:
    """It gives the release that it gave before, whatever has become of that."""
    first = (await app.run("true", "false")).release.name
    request_id = str(uuid4())
    second = (await retried(app, first, request_id=request_id)).release.name
    await app.run("true")
    assert (await retry(app, first, request_id=request_id)).name == second


@pytest.mark.parametrize("from_start", [False, True])
async def test_of_retries_at_the_same_time_one_is_accepted(app: App, from_start: bool) -> None:
    """Nothing runs twice, and the others leave no trace."""
    first = (await app.run("true", "false")).release.name
    calls = [retry(app, first, from_start=from_start) for _ in range(5)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    (second,) = (each for each in found if isinstance(each, Release))
    reasons = {details_of(each)[0].reason for each in found if isinstance(each, grpc.aio.AioRpcError)}
    assert reasons <= {"ALREADY_RETRIED", "NEWER_RELEASE"}
    await app.outcome(second.name)
    assert await number_of_releases(app) == 2
    assert await nothing_is_left_waiting(app)


async def test_rollback_has_to_end_first(app: App, tmp_path: Path) -> None:
    """Until then nobody knows what the release has left."""
    request = undoable(tmp_path, "a", "b")
    request["commands"][0].rollback = "echo up; until test -e /m/go; do sleep 0.05; done"
    first = await app.run(**request)
    await app.until_output(first.release.rollback, b"up\n")
    for from_start in (False, True):
        call = retry(app, first.release.name, from_start=from_start)
        assert await why(call) == ("ROLLBACK_NOT_ENDED", first.release.rollback)
    allow(tmp_path, "go", "b")
    await app.outcome(first.release.rollback)
    assert (await retried(app, first.release.name)).command_states == ["SUCCEEDED", "SUCCEEDED"]


async def test_half_a_rollback_is_finished_first(app: App, tmp_path: Path) -> None:
    """By trying it again: then the release goes on from the first command that was undone."""
    allow(tmp_path, "undo-c")
    first = await app.run(**undoable(tmp_path, "a", "b", "c", "d"))
    rollback = await app.outcome(first.release.rollback)
    assert rollback.command_states == ["SUCCEEDED", "FAILED", "SKIPPED"]
    assert await why(retry(app, first.release.name)) == ("ROLLBACK_FAILED", rollback.release.name)
    allow(tmp_path, "undo-b", "d")
    again = await retried(app, rollback.release.name)
    assert again.command_states == ["SKIPPED", "SUCCEEDED", "FAILED"]
    assert await why(retry(app, first.release.name)) == ("ROLLBACK_FAILED", again.release.name)
    allow(tmp_path, "undo-a")
    assert (await retried(app, again.release.name)).state == "SUCCEEDED"
    assert (await retried(app, first.release.name)).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "+b", "+c", "+d", "-c", "-b", "-b", "-a", "-a", "+a", "+b", "+c", "+d"]


async def test_half_a_rollback_is_put_right_by_hand(app: App, tmp_path: Path) -> None:
    """Whoever has done that says so: from the start."""
    first = await app.run(**undoable(tmp_path, "a", "b"))
    assert (await app.outcome(first.release.rollback)).command_states == ["FAILED"]
    allow(tmp_path, "b")
    second = await retried(app, first.release.name, from_start=True)
    assert second.command_states == ["SUCCEEDED", "SUCCEEDED"]


async def test_rollback_that_did_not_begin_has_undone_nothing(app: App, tmp_path: Path) -> None:
    """It was accepted, waited, and was cancelled: what succeeded has succeeded."""
    request = undoable(tmp_path, "a", "b")
    request["commands"][1].line = "echo up; until test -e /m/go; do sleep 0.05; done; false"
    first = await app.start(**request)
    await app.until_output(first.name, b"up\n")
    await app.cancel(first.name)
    await app.outcome(first.name)
    app.reconfigure("releases", max_concurrent=1)
    other = await app.start("echo up; sleep 60", environment="test")
    await app.until_output(other.name, b"up\n")
    rollback = (await app.stub.ReportOutcome(abandoned(first.name))).rollback
    await app.cancel(rollback)
    assert (await app.outcome(rollback)).state == "CANCELLED"
    await app.cancel(other.name)
    await app.outcome(other.name)
    allow(tmp_path, "go")
    assert (await retried(app, first.name)).command_states == ["SKIPPED", "FAILED"]


@pytest.mark.parametrize("from_start", [False, True])
async def test_what_a_rollback_undoes_has_been_built_upon(app: App, tmp_path: Path, from_start: bool) -> None:
    """Its retry would take from the version that is live what that one needs."""
    first = await app.run(**undoable(tmp_path, "a", "b"))
    rollback = await app.outcome(first.release.rollback)
    assert rollback.state == "FAILED"
    newer = (await app.run("true")).release.name
    call = retry(app, rollback.release.name, from_start=from_start)
    assert await why(call) == ("NEWER_RELEASE", newer)
    assert marks(tmp_path) == ["+a", "+b", "-a"]


async def test_retry_and_rollback_at_the_same_time(app: App, tmp_path: Path) -> None:
    """One of the two at most: what is undone is not skipped for having succeeded."""
    request = undoable(tmp_path, "a", "b")
    request["commands"][1].line = "echo up; sleep 60"
    first = await app.start(**request)
    await app.until_output(first.name, b"up\n")
    await app.cancel(first.name)
    await app.outcome(first.name)
    await asyncio.gather(
        app.stub.ReportOutcome(abandoned(first.name)), retry(app, first.name), return_exceptions=True
    )
    listed = (await app.stub.ListReleases(ListReleasesRequest())).releases
    followers = [each for each in listed if each.name != first.name]
    assert len(followers) <= 1
    for each in followers:
        await app.cancel(each.name)
        await app.outcome(each.name)
    assert await nothing_is_left_waiting(app)


async def test_release_without_commands_has_none_to_try_again(app: App) -> None:
    """Neither its image nor the settings had any: those of today are for a new release."""
    first = await app.run(commands=[])
    assert (first.state, first.command_states) == ("SUCCEEDED", [])
    for from_start in (False, True):
        assert (await why(retry(app, first.release.name, from_start=from_start)))[0] == "NOTHING_TO_RETRY"
