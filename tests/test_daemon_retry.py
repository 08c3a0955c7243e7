"""Releases that are tried again: with the image and all that they were asked for, from what failed on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import msgspec

from released.config import PolicyTable
from releasephase.v1.release_pb2 import COMMANDS_FROM_SETTINGS, OUTCOME_ABANDONED, CommandRun, Mount, Release
from releasephase.v1.release_service_pb2 import (
    EnvironmentVariable,
    ReleaseCommand,
    ReportOutcomeRequest,
)
from support.app import App
from support.docker_engine import Engine
from support.marks import allow, marks, retried, retry
from support.rpc_errors import details_of, refused

MakeImage = Callable[..., str]

MARKING = "echo {0} >> /m/marks; test -e /m/{0}"
"""A command that leaves a mark, and succeeds if there is a file of its name."""


def marking(folder: Path, *names: str, **fields: Any) -> dict[str, Any]:
    """What a request has whose commands leave marks in a folder."""
    commands = [ReleaseCommand(label=name, line=MARKING.format(name)) for name in names]
    return {"commands": commands, "mounts": [Mount(source=str(folder), target="/m")], **fields}


def reasons(release: Release) -> list[str]:
    return [run.skip_reason for run in release.command_runs]


async def test_release_goes_on_from_what_failed(app: App, tmp_path: Path) -> None:
    """What has succeeded is skipped, with the release in which it did; the two are linked."""
    allow(tmp_path, "a", "c")
    first = await app.run(**marking(tmp_path, "a", "b", "c"))
    assert first.command_states == ["SUCCEEDED", "FAILED", "SKIPPED"]
    allow(tmp_path, "b")
    second = await retried(app, first.release.name, requested_by="Ada")
    assert (second.state, second.command_states) == ("SUCCEEDED", ["SKIPPED", "SUCCEEDED", "SUCCEEDED"])
    assert reasons(second.release) == [f"it succeeded in {first.release.name}", "", ""]
    assert marks(tmp_path) == ["a", "b", "b", "c"]
    assert (second.release.retry_of, second.release.requested_by) == (first.release.name, "Ada")
    assert second.release.name != first.release.name


async def test_retry_of_a_retry_names_where_a_command_really_ran(app: App, tmp_path: Path) -> None:
    """However often it is tried."""
    allow(tmp_path, "a")
    first = await app.run(**marking(tmp_path, "a", "b", "c"))
    allow(tmp_path, "b")
    second = await retried(app, first.release.name)
    allow(tmp_path, "c")
    third = await retried(app, second.release.name)
    assert third.state == "SUCCEEDED"
    ran_in = [f"it succeeded in {each.release.name}" for each in (first, second)]
    assert reasons(third.release) == [*ran_in, ""]
    assert marks(tmp_path) == ["a", "b", "b", "c", "c"]


async def test_retry_from_the_start(app: App, tmp_path: Path) -> None:
    """Everything runs but what the request had skipped; also of a release that succeeded."""
    allow(tmp_path, "a", "c")
    skipping = {"skip_labels": ["x"], "skip_reason": "by hand"}
    first = await app.run(**marking(tmp_path, "x", "a", "b"), **skipping)
    second = await retried(app, first.release.name)
    assert reasons(second.release) == ["by hand", f"it succeeded in {first.release.name}", ""]
    allow(tmp_path, "b")
    third = await retried(app, second.release.name, from_start=True)
    assert (third.state, reasons(third.release)) == ("SUCCEEDED", ["by hand", "", ""])
    fourth = await retried(app, third.release.name, from_start=True)
    assert fourth.state == "SUCCEEDED"
    assert marks(tmp_path) == ["a", "b", "b", "a", "b", "a", "b"]


async def test_retry_has_all_that_was_asked_for(app: App, tmp_path: Path) -> None:
    """Container, limits, labels and timeouts as they were."""
    asked = {
        "mounts": [Mount(source=str(tmp_path), target="/m", read_only=True)],
        "user": "1000:1000",
        "working_dir": "/tmp",
        "entrypoint": {"arguments": ["/bin/sh", "-c", 'exec "$@"', "sh"]},
        "labels": {"commit": "abc"},
        "resources": {"memory_bytes": 64 << 20, "pids": 50},
        "release_timeout": {"seconds": 300},
        "container_mode": 2,
        "networks": ["none"],
        "pull_policy": "PULL_POLICY_NEVER",
    }
    first = (await app.run("false", timeout=7, **asked)).release
    second = (await retried(app, first.name)).release
    for field in (
        *("image", "image_id", "mounts", "user", "working_dir", "entrypoint", "labels", "resources"),
        *("release_timeout", "container_mode", "networks", "pull_policy", "on_busy", "commands_from"),
    ):
        assert getattr(second, field) == getattr(first, field), field
    assert second.command_runs[0].timeout == first.command_runs[0].timeout
    assert second.failure == first.failure


async def test_values_have_to_be_sent_again_and_stay_secret(app: App) -> None:
    """By the same names; what was secret is so again, though nobody says it."""
    env = [
        EnvironmentVariable(name="WORD", value="hidden-value-1", secret=True),
        EnvironmentVariable(name="PLAIN", value="shown"),
    ]
    first = await app.run("echo $WORD $PLAIN; exit 1", env=env)
    again = [
        EnvironmentVariable(name="WORD", value="hidden-value-2"),
        EnvironmentVariable(name="PLAIN", value="seen"),
    ]
    second = await retried(app, first.release.name, env=again)
    assert second.output() == b"*** seen\n"
    digests = [dict(each.release.environment_digests) for each in (first, second)]
    assert digests[0].keys() == digests[1].keys() == {"WORD", "PLAIN"}
    assert digests[0]["WORD"] != digests[1]["WORD"]


async def test_names_that_are_missing_or_superfluous_are_refused(app: App) -> None:
    """All at once, by name; no value is told."""
    env = [EnvironmentVariable(name=name, value=f"value-of-{name}") for name in ("ONE", "TWO", "THREE")]
    first = await app.run("false", env=env)
    sent = [
        EnvironmentVariable(name="TWO", value="value-of-TWO"),
        EnvironmentVariable(name="FOUR", value="value-of-FOUR"),
    ]
    error = await refused(retry(app, first.release.name, env=sent, request_id="none"))
    _, bad = details_of(error)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert {violation.field: violation.description for violation in bad.field_violations} == {
        "env": "must have ONE, THREE again: the values of variables are stored nowhere",
        "env[1].name": "must be one of the release's: the release had no variable 'FOUR'",
        "request_id": "must be a UUID",
    }
    assert "value-of" not in str(error.details())


async def test_repeated_retry_gives_the_same_release(app: App) -> None:
    """By its request_id; another body is refused."""
    first = await app.run("false")
    request_id = str(uuid4())
    second = await retry(app, first.release.name, request_id=request_id)
    again = await retry(app, first.release.name, request_id=request_id)
    assert again.name == second.name
    error = await refused(retry(app, first.release.name, request_id=request_id, from_start=True))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    await app.outcome(second.name)


async def test_what_can_t_be_tried_again(app: App) -> None:
    """A release that goes on, one that succeeded, and one that is not there."""
    running = await app.start("echo up; sleep 1000")
    await app.until_output(running.name, b"up\n")
    for name, reason in ((running.name, "RELEASE_NOT_ENDED"), ((await app.start()).name, "NOTHING_TO_RETRY")):
        error = await refused(retry(app, name))
        info, _ = details_of(error)
        assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, reason)
    nobody = f"releases/{uuid4()}"
    assert (await refused(retry(app, nobody))).code() is grpc.StatusCode.NOT_FOUND
    await app.cancel(running.name)
    assert (await app.outcome(running.name)).state == "CANCELLED"
    second = await retry(app, running.name)
    await app.until_output(second.name, b"up\n")
    await app.cancel(second.name)
    await app.outcome(second.name)


async def test_name_that_stands_for_another_image_by_now(
    app: App, engine: Engine, make_busybox_image: MakeImage
) -> None:
    """Half of the commands in one image and half in another would be neither: it fails before any of them."""
    name = "releasephase-test/moving:1"
    engine.tag_image(make_busybox_image("LABEL version=1"), name)
    first = await app.run("false", image=name)
    engine.tag_image(make_busybox_image("LABEL version=2"), name)
    second = await retried(app, first.release.name)
    third = await retried(app, second.release.name)
    for outcome in (second, third):
        assert (outcome.state, outcome.cause) == ("FAILED", "IMAGE_UNAVAILABLE")
        assert first.release.image_id in outcome.message


async def test_rollback_is_tried_again_in_its_image(
    app: App, engine: Engine, make_busybox_image: MakeImage, tmp_path: Path
) -> None:
    """By its id, as the first time, whatever its name stands for; it is a rollback of the same release."""
    name = "releasephase-test/moving:3"
    engine.tag_image(make_busybox_image("ENV VERSION=1"), name)
    request = marking(tmp_path, "a", "b", image=name)
    request["commands"][0].rollback = "echo $VERSION >> /m/marks; test -e /m/undo"
    allow(tmp_path, "a")
    first = await app.run(**request)
    rollback = await app.outcome(first.release.rollback)
    assert rollback.state == "FAILED"
    engine.tag_image(make_busybox_image("ENV VERSION=2"), name)
    allow(tmp_path, "undo")
    second = await retried(app, rollback.release.name)
    assert (second.state, marks(tmp_path)) == ("SUCCEEDED", ["a", "b", "1", "1"])
    assert second.release.rollback_of == first.release.name
    assert (await app.outcome(first.release.name)).release.rollback == rollback.release.name
    engine.remove_image(name)


async def test_declared_commands_run_as_they_were_resolved(
    app: App, make_busybox_image: MakeImage, tmp_path: Path
) -> None:
    """With their source; they are known at once."""
    allow(tmp_path, "a")
    declared = [{"label": name, "command": MARKING.format(name)} for name in ("a", "b")]
    image = make_busybox_image(f"LABEL releasephase.commands={json.dumps(json.dumps(declared))}")
    first = await app.run(**marking(tmp_path), image=image)
    assert first.command_states == ["SUCCEEDED", "FAILED"]
    second = await retry(app, first.release.name)
    assert second.commands_from == COMMANDS_FROM_SETTINGS
    assert [run.source for run in second.command_runs] == [CommandRun.SOURCE_IMAGE] * 2
    outcome = await app.outcome(second.name)
    assert outcome.command_states == ["SKIPPED", "FAILED"]
    assert "commands_resolved" not in outcome.kinds


async def test_commands_that_were_never_known_are_found_out(
    app: App, engine: Engine, make_busybox_image: MakeImage
) -> None:
    """The image was not there; what the request wanted skipped is so now."""
    name = f"releasephase-test/late:{uuid4().hex}"
    skipping = {"skip_labels": ["b"], "skip_reason": "by hand"}
    first = await app.run(commands=[], image=name, pull_policy="PULL_POLICY_NEVER", **skipping)
    assert first.cause == "IMAGE_UNAVAILABLE"
    declared = [{"label": each, "command": f"echo {each}"} for each in ("a", "b")]
    engine.tag_image(
        make_busybox_image(f"LABEL releasephase.commands={json.dumps(json.dumps(declared))}"), name
    )
    second = await retried(app, first.release.name)
    assert (second.state, second.command_states) == ("SUCCEEDED", ["SUCCEEDED", "SKIPPED"])
    assert reasons(second.release) == ["", "by hand"]
    engine.remove_image(name)


async def test_no_two_commands_of_a_request_have_one_label(app: App) -> None:
    """Both are named; neither of them runs."""
    commands = [ReleaseCommand(label=label, line="true") for label in ("a", "b", "a")]
    error = await refused(app.start(commands=commands))
    _, bad = details_of(error)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [(each.field, each.description) for each in bad.field_violations] == [
        ("commands[2].label", "is the same as commands[0].label: 'a'")
    ]


async def test_policy_of_today_counts(app: App, tmp_path: Path) -> None:
    """What was allowed when the release was started may be refused now."""
    first = await app.run(**marking(tmp_path, "a"))
    stricter = {"default": PolicyTable(mounts=())}
    app.configuration.replace(msgspec.structs.replace(app.config, policy=stricter))
    error = await refused(retry(app, first.release.name))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert marks(tmp_path) == ["a"]


async def test_application_has_to_be_enabled_still(app: App, tmp_path: Path) -> None:
    """To try its releases again, and to roll them back."""
    (tmp_path / "a").touch()
    request = marking(tmp_path, "a")
    request["commands"][0].rollback = "echo undone >> /m/marks"
    first = await app.run(**request)
    app.reconfigure("access", applications=("blog",))
    for call in (
        retry(app, first.release.name, from_start=True),
        app.stub.ReportOutcome(
            ReportOutcomeRequest(name=first.release.name, outcome=OUTCOME_ABANDONED, run_rollback=True)
        ),
    ):
        error = await refused(call)
        info, _ = details_of(error)
        assert (error.code(), info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "APPLICATION_NOT_ENABLED")
    assert marks(tmp_path) == ["a"]


async def test_values_have_to_fit_the_rollbacks(app: App) -> None:
    """They are told of at once, not by a rollback that fails for it."""
    first = await app.run(
        commands=[
            ReleaseCommand(label=f"c{index}", line="true", rollback="true " + "x" * 60 * 1024)
            for index in range(15)
        ],
        env=[EnvironmentVariable(name=f"V{index}", value="x") for index in range(4)],
    )
    env = [EnvironmentVariable(name=f"V{index}", value="x" * 60 * 1024) for index in range(4)]
    report = ReportOutcomeRequest(
        name=first.release.name, outcome=OUTCOME_ABANDONED, run_rollback=True, env=env
    )
    error = await refused(app.stub.ReportOutcome(report))
    _, bad = details_of(error)
    assert "env" in {each.field for each in bad.field_violations}
