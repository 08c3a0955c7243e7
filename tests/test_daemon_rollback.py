"""Rollbacks: what succeeded of a release that failed, or was abandoned, is undone by a release of its own."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import grpc
import pytest

from releasephase.v1.daemon_service_pb2 import DrainRequest
from releasephase.v1.release_pb2 import OUTCOME_ABANDONED, OUTCOME_DEPLOYED, Argv, Mount, Release
from releasephase.v1.release_service_pb2 import (
    EnvironmentVariable,
    GetReleaseRequest,
    ListReleasesRequest,
    ReleaseCommand,
    ReportOutcomeRequest,
    RetryReleaseRequest,
)
from support.app import App, Outcome, Serve, serving_app
from support.docker_engine import Engine
from support.faulty_engine import faulty_engine
from support.marks import marks, retried
from support.rpc_errors import details_of, refused


def undoable(folder: Path, *names: str, last: str = "false", **fields: Any) -> dict[str, Any]:
    """What a request has whose commands and rollbacks leave marks in a folder, with one more behind them."""
    commands = [
        ReleaseCommand(label=name, line=f"echo +{name} >> /m/marks", rollback=f"echo -{name} >> /m/marks")
        for name in names
    ]
    commands.append(ReleaseCommand(label="last", line=last, rollback="echo never >> /m/marks"))
    return {"commands": commands, "mounts": [Mount(source=str(folder), target="/m")], **fields}


async def get(app: App, name: str) -> Release:
    return await app.stub.GetRelease(GetReleaseRequest(name=name))


async def rollback_of(app: App, outcome: Outcome) -> Outcome:
    """The rollback of a release, followed to its end."""
    assert outcome.release.rollback
    return await app.outcome(outcome.release.rollback)


async def abandon(app: App, name: str, **fields: Any) -> Release:
    request = ReportOutcomeRequest(name=name, outcome=OUTCOME_ABANDONED, run_rollback=True, **fields)
    return await app.stub.ReportOutcome(request)


async def released(app: App) -> list[Release]:
    return list((await app.stub.ListReleases(ListReleasesRequest())).releases)


@pytest.mark.parametrize("container_mode", [1, 2])
async def test_what_succeeded_is_undone_in_reverse(app: App, tmp_path: Path, container_mode: int) -> None:
    """By a release that is linked to the failed one, in a container of the same image."""
    failed = await app.run(**undoable(tmp_path, "a", "b", container_mode=container_mode))
    assert (failed.state, failed.cause) == ("FAILED", "COMMAND_FAILED")
    rollback = await rollback_of(app, failed)
    assert (rollback.state, rollback.command_states) == ("SUCCEEDED", ["SUCCEEDED", "SUCCEEDED"])
    assert [run.label for run in rollback.release.command_runs] == ["Roll back: b", "Roll back: a"]
    assert marks(tmp_path) == ["+a", "+b", "-b", "-a"]
    assert rollback.release.rollback_of == failed.release.name
    assert rollback.release.rollback == ""
    for field in ("image", "image_id", "caller", "mounts", "container_mode", "resources"):
        assert getattr(rollback.release, field) == getattr(failed.release, field), field


async def test_rollback_is_accepted_with_the_end(app: App, tmp_path: Path) -> None:
    """In one transaction: whoever hears of the end knows the rollback, and each has its own receipt."""
    name = (await app.start(**undoable(tmp_path, "a"))).name
    end = [event async for event in app.watch(name)][-1]
    release = await get(app, name)
    assert release.receipt == end.state_changed.receipt
    accepted = (await app.outcome(release.rollback)).events[0]
    assert (accepted.WhichOneof("payload"), accepted.sequence < end.sequence) == ("accepted", True)


async def test_nothing_is_undone_that_declares_no_rollback(app: App) -> None:
    """It is off unless declared."""
    failed = await app.run("true", "false")
    assert (failed.release.rollback, len(await released(app))) == ("", 1)


async def test_what_did_not_succeed_is_not_undone(app: App, tmp_path: Path) -> None:
    """Neither what failed itself, nor what never ran, nor what was skipped."""
    request = undoable(tmp_path, "a", "b", last="exit 1", skip_labels=["a"], skip_reason="by hand")
    request["commands"].append(ReleaseCommand(label="never", line="true", rollback="echo never >> /m/marks"))
    rollback = await rollback_of(app, await app.run(**request))
    assert [run.label for run in rollback.release.command_runs] == ["Roll back: b"]
    assert marks(tmp_path) == ["+b", "-b"]


async def test_timeout_is_rolled_back_too(app: App, tmp_path: Path) -> None:
    """Whatever a release fails for."""
    request = undoable(tmp_path, "a", last="sleep 60")
    request["commands"][-1].timeout.FromMilliseconds(300)
    failed = await app.run(**request)
    assert failed.cause == "COMMAND_TIMED_OUT"
    assert (await rollback_of(app, failed)).state == "SUCCEEDED"


async def test_cancelled_release_is_not_rolled_back(app: App, tmp_path: Path) -> None:
    """Somebody decided to stop it there; they can have it rolled back with its outcome."""
    name = (await app.start(**undoable(tmp_path, "a", last="echo up; sleep 60"))).name
    await app.until_output(name, b"up\n")
    await app.cancel(name)
    cancelled = await app.outcome(name)
    assert (cancelled.state, cancelled.release.rollback) == ("CANCELLED", "")
    reported = await abandon(app, name)
    assert (await app.outcome(reported.rollback)).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "-a"]


async def test_rollback_that_fails_is_a_failed_release_and_no_more(app: App, tmp_path: Path) -> None:
    """The rest of it does not run, and nothing rolls it back."""
    request = undoable(tmp_path, "a", "b")
    request["commands"][1].rollback = "exit 7"
    rollback = await rollback_of(app, await app.run(**request))
    assert (rollback.state, rollback.command_states) == ("FAILED", ["FAILED", "SKIPPED"])
    assert (rollback.release.rollback, len(await released(app))) == ("", 2)
    assert marks(tmp_path) == ["+a", "+b"]
    again = await app.stub.RetryRelease(RetryReleaseRequest(name=rollback.release.name))
    retried = await app.outcome(again.name)
    assert retried.release.retry_of == rollback.release.name
    assert (retried.cause, retried.release.command_runs[0].exit_code) == ("COMMAND_FAILED", 7)


async def test_rollback_has_the_values_and_hides_the_secret_ones(app: App, tmp_path: Path) -> None:
    """They are taken over: nobody has to send them."""
    env = [
        EnvironmentVariable(name="WORD", value="hidden-value", secret=True),
        EnvironmentVariable(name="PLAIN", value="shown"),
    ]
    request = undoable(tmp_path, "a", env=env)
    request["commands"][0].rollback = "echo $WORD $PLAIN; echo $WORD > /m/word"
    rollback = await rollback_of(app, await app.run(**request))
    assert rollback.output() == b"*** shown\n"
    assert (tmp_path / "word").read_text() == "hidden-value\n"
    assert list(app.folder.glob("*.secrets/*")) == []


async def test_rollback_comes_before_whatever_waits(app: App, tmp_path: Path) -> None:
    """The next release of the target finds it done."""
    first = await app.start(**undoable(tmp_path, "a", last="until test -e /m/go; do sleep 0.1; done; false"))
    mounts = [Mount(source=str(tmp_path), target="/m")]
    second = await app.start("echo second >> /m/marks", mounts=mounts)
    await app.until(first.name, "command_started")
    (tmp_path / "go").touch()
    assert (await app.outcome(second.name)).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "-a", "second"]
    assert (await get(app, (await get(app, first.name)).rollback)).state == Release.STATE_SUCCEEDED


async def test_rollback_runs_in_the_image_whatever_its_name_stands_for(
    app: App, engine: Engine, tmp_path: Path, make_busybox_image: Any
) -> None:
    """And nothing is pulled for it, were the registry away."""
    name = "releasephase-test/moving:2"
    engine.tag_image(make_busybox_image("ENV VERSION=1"), name)
    request = undoable(tmp_path, "a", last="until test -e /m/go; do sleep 0.1; done; false", image=name)
    request["commands"][0].rollback = "echo $VERSION >> /m/marks"
    first = await app.start(**request)
    await app.until(first.name, "command_started")
    engine.tag_image(make_busybox_image("ENV VERSION=2"), name)
    (tmp_path / "go").touch()
    rollback = await rollback_of(app, await app.outcome(first.name))
    assert (rollback.state, marks(tmp_path)) == ("SUCCEEDED", ["+a", "1"])
    assert rollback.release.image == name


async def test_retry_does_again_what_was_undone(app: App, tmp_path: Path) -> None:
    """A command that was rolled back has not succeeded, as it were."""
    failed = await app.run(**undoable(tmp_path, "a", last="test -e /m/go"))
    await rollback_of(app, failed)
    (tmp_path / "go").touch()
    again = await app.stub.RetryRelease(RetryReleaseRequest(name=failed.release.name))
    assert (await app.outcome(again.name)).command_states == ["SUCCEEDED", "SUCCEEDED"]
    assert marks(tmp_path) == ["+a", "-a", "+a"]


async def test_abandoned_release_is_rolled_back_if_that_is_asked_for(app: App, tmp_path: Path) -> None:
    """Once, however often it is reported; the report is recorded with it."""
    succeeded = await app.run(**undoable(tmp_path, "a", "b", last="true"))
    assert (succeeded.state, succeeded.release.rollback) == ("SUCCEEDED", "")
    reported = await abandon(app, succeeded.release.name, reason="health check")
    assert (reported.outcome, reported.outcome_reason) == (OUTCOME_ABANDONED, "health check")
    rollback = await app.outcome(reported.rollback)
    labels = [run.label for run in rollback.release.command_runs]
    assert labels == ["Roll back: last", "Roll back: b", "Roll back: a"]
    assert marks(tmp_path) == ["+a", "+b", "never", "-b", "-a"]
    again = await abandon(app, succeeded.release.name, reason="health check")
    assert again.rollback == reported.rollback
    assert len(await released(app)) == 2


async def test_values_of_an_abandoned_release_are_sent_again(app: App, tmp_path: Path) -> None:
    """All of them; what is missing is named, and nothing is recorded then."""
    env = [EnvironmentVariable(name="WORD", value="hidden-value", secret=True)]
    request = undoable(tmp_path, "a", last="true", env=env)
    request["commands"][0].rollback = "echo got $WORD"
    name = (await app.run(**request)).release.name
    error = await refused(abandon(app, name))
    _, bad = details_of(error)
    assert (error.code(), [each.field for each in bad.field_violations]) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        ["env"],
    )
    assert not (await get(app, name)).outcome
    reported = await abandon(app, name, env=[EnvironmentVariable(name="WORD", value="other-value")])
    rollback = await app.outcome(reported.rollback)
    assert rollback.output(1) == b"got ***\n"
    assert list(app.folder.glob("*.secrets/*")) == []


async def test_newer_release_keeps_an_abandoned_one_from_being_rolled_back(app: App, tmp_path: Path) -> None:
    """Ended or under way: what it undid would be that one's."""
    first = (await app.run(**undoable(tmp_path, "a", last="true"))).release.name
    newer = await app.start("echo up; sleep 60")
    await app.until_output(newer.name, b"up\n")
    for _ in range(2):
        error = await refused(abandon(app, first))
        info, _ = details_of(error)
        assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "NEWER_RELEASE")
        assert info.metadata["release"] == newer.name
        await app.cancel(newer.name)
        await app.outcome(newer.name)
    assert not (await get(app, first)).outcome
    assert list((await app.status()).lanes) == []
    assert (await app.report(first, "ABANDONED")).outcome == OUTCOME_ABANDONED
    assert marks(tmp_path) == ["+a"]


async def test_newer_release_that_ran_nothing_keeps_nobody_from_anything(app: App, tmp_path: Path) -> None:
    """It failed before its first command: there is nothing that it could have built on."""
    first = (await app.run(**undoable(tmp_path, "a", last="true"))).release.name
    newer = await app.run("true", image="not/there:1", pull_policy="PULL_POLICY_NEVER")
    assert newer.cause == "IMAGE_UNAVAILABLE"
    assert (await app.outcome((await abandon(app, first)).rollback)).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "never", "-a"]


async def test_rollback_of_an_earlier_release_is_no_newer_release(app: App, tmp_path: Path) -> None:
    """It was accepted later than a release that had waited, and ran before it."""
    first = await app.start(**undoable(tmp_path, "a", last="until test -e /m/go; do sleep 0.1; done; false"))
    second = await app.start(**undoable(tmp_path, "b", last="true"))
    await app.until(first.name, "command_started")
    (tmp_path / "go").touch()
    assert (await app.outcome(second.name)).state == "SUCCEEDED"
    reported = await abandon(app, second.name)
    assert (await app.outcome(reported.rollback)).state == "SUCCEEDED"
    assert marks(tmp_path) == ["+a", "-a", "+b", "never", "-b"]


async def test_nothing_to_roll_back_is_no_error(app: App) -> None:
    """The outcome is recorded, and no values are needed."""
    env = [EnvironmentVariable(name="WORD", value="value")]
    release = (await app.run("true", env=env)).release
    reported = await abandon(app, release.name)
    assert (reported.outcome, reported.rollback) == (OUTCOME_ABANDONED, "")


async def test_rollback_can_be_asked_for_with_the_same_report_again(app: App, tmp_path: Path) -> None:
    """An agent has reported what became of the deployment; a person decides to have it rolled back."""
    name = (await app.run(**undoable(tmp_path, "a", last="true"))).release.name
    assert (await app.report(name, "ABANDONED")).rollback == ""
    reported = await abandon(app, name)
    assert (await app.outcome(reported.rollback)).state == "SUCCEEDED"
    assert reported.last_sequence == (await get(app, name)).last_sequence


async def test_failed_release_that_was_rolled_back_is_reported_without_more(app: App, tmp_path: Path) -> None:
    """It has been rolled back once, which is all."""
    failed = await app.run(**undoable(tmp_path, "a"))
    await rollback_of(app, failed)
    reported = await abandon(app, failed.release.name)
    assert reported.rollback == failed.release.rollback
    assert len(await released(app)) == 2


async def test_rollback_that_has_failed_is_tried_again_and_no_second_one_is_accepted(
    app: App, tmp_path: Path
) -> None:
    """Whoever asks for one is told which to try again, as long as the newest try has failed."""
    request = undoable(tmp_path, "a", "b")
    request["commands"][0].rollback = "test -e /m/go && echo -a >> /m/marks"
    failed = await app.run(**request)
    newest = await rollback_of(app, failed)
    assert newest.command_states == ["SUCCEEDED", "FAILED"]
    for _ in range(2):
        error = await refused(abandon(app, failed.release.name))
        info, _ = details_of(error)
        assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ROLLBACK_FAILED")
        assert dict(info.metadata) == {"rollback": newest.release.name, "state": "FAILED"}
        assert f"`releasectl retry {newest.release.name}`" in str(error.details())
        newest = await retried(app, newest.release.name)
    assert not (await get(app, failed.release.name)).outcome
    (tmp_path / "go").touch()
    assert (await retried(app, newest.release.name)).state == "SUCCEEDED"
    assert (await abandon(app, failed.release.name)).outcome == OUTCOME_ABANDONED
    assert marks(tmp_path) == ["+a", "+b", "-b", "-a"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"outcome": OUTCOME_DEPLOYED, "run_rollback": True}, "run_rollback"),
        ({"outcome": OUTCOME_ABANDONED, "env": [{"name": "A", "value": "b"}]}, "env"),
    ],
)
async def test_what_makes_no_sense_is_refused(app: App, fields: dict[str, Any], field: str) -> None:
    """Whatever there would be to roll back."""
    name = (await app.start()).name
    error = await refused(app.stub.ReportOutcome(ReportOutcomeRequest(name=name, **fields)))
    _, bad = details_of(error)
    assert [violation.field for violation in bad.field_violations] == [field]


async def test_release_that_runs_can_t_be_rolled_back_yet(app: App, tmp_path: Path) -> None:
    """As it can't be reported yet."""
    name = (await app.start(**undoable(tmp_path, "a", last="echo up; sleep 60"))).name
    await app.until_output(name, b"up\n")
    info, _ = details_of(await refused(abandon(app, name)))
    assert info.reason == "RELEASE_NOT_ENDED"
    await app.cancel(name)
    await app.outcome(name)


async def test_drained_daemon_accepts_no_rollback_that_is_asked_for(app: App, tmp_path: Path) -> None:
    """As it accepts no other release: the outcome is reported to the next one, or without a rollback."""
    name = (await app.run(**undoable(tmp_path, "a", last="true"))).release.name
    other = await app.start("echo up; sleep 60", environment="test")
    await app.until_output(other.name, b"up\n")
    drain = app.daemon.Drain(DrainRequest())
    await anext(aiter(drain))
    error = await refused(abandon(app, name))
    info, _ = details_of(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert (await app.report(name, "ABANDONED")).rollback == ""
    await app.cancel(other.name)
    await app.outcome(other.name)


async def test_no_rollback_is_accepted_without_an_engine(engine: Engine, busybox_image: str) -> None:
    """Whoever asks for it learns that it can't be now, and can ask again: nothing was recorded."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        async with (
            faulty_engine(Path(folder), engine.url) as faulty,
            serving_app(faulty.url, busybox_image) as app,
        ):
            commands = [ReleaseCommand(label="a", line="true", rollback="true")]
            name = (await app.run(commands=commands)).release.name
            faulty.fails = lambda line: "/version" in line
            assert not (await app.status()).engine.reachable
            error = await refused(abandon(app, name))
            info, _ = details_of(error)
            assert (error.code(), info.reason) == (grpc.StatusCode.UNAVAILABLE, "ENGINE_UNAVAILABLE")
            assert not (await get(app, name)).outcome
            faulty.fails = lambda line: False
            assert (await app.outcome((await abandon(app, name)).rollback)).state == "SUCCEEDED"


async def test_image_without_a_shell_can_t_be_rolled_back_in(app: App, shell_less_image: str) -> None:
    """Though its commands are programs that need none: the rollback says so."""
    programs = [
        ReleaseCommand(label=program, argv=Argv(arguments=[program]), rollback="undo it")
        for program in ("/bin/true", "/bin/false")
    ]
    failed = await app.run(commands=programs, image=shell_less_image, container_mode=2)
    assert failed.command_states == ["SUCCEEDED", "FAILED"]
    rollback = await rollback_of(app, failed)
    assert (rollback.cause, rollback.command_states) == ("COMMAND_FAILED", ["FAILED"])
    assert "a rollback is a line for /bin/sh, also that of a program" in rollback.message


async def test_of_reports_at_the_same_time_one_rolls_back(app: App, tmp_path: Path) -> None:
    """All are told of the same rollback."""
    name = (await app.run(**undoable(tmp_path, "a", last="true"))).release.name
    reported = await asyncio.gather(*(abandon(app, name) for _ in range(5)))
    (rollback,) = {release.rollback for release in reported}
    await app.outcome(rollback)
    assert len(await released(app)) == 2


async def test_rollback_that_waits_can_be_cancelled(serve: Serve, tmp_path: Path) -> None:
    """As any release; here, because no more may be under way."""
    async with serve(max_concurrent=1) as app:
        name = (await app.run(**undoable(tmp_path, "a", last="true"))).release.name
        other = await app.start("echo up; sleep 60", environment="test")
        await app.until_output(other.name, b"up\n")
        reported = await abandon(app, name)
        assert (await get(app, reported.rollback)).queue_position == 1
        await app.cancel(reported.rollback)
        assert (await app.outcome(reported.rollback)).state == "CANCELLED"
        await app.cancel(other.name)
        await app.outcome(other.name)
    assert marks(tmp_path) == ["+a"]
