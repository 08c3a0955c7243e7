"""Releases whose request names no commands run what the image declares, or fail and say where it is wrong."""

import json
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from releasephase.v1.command_service_pb2 import Command as ApplicationCommand
from releasephase.v1.command_service_pb2 import CreateCommandRequest
from releasephase.v1.release_pb2 import COMMANDS_FROM_REQUEST, COMMANDS_FROM_SETTINGS, CommandRun
from releasephase.v1.release_service_pb2 import EnvironmentVariable, ReleaseCommand
from support.app import App
from support.rpc_errors import refused

MakeImage = Callable[..., str]

ONE = {"label": "Say one", "command": "echo one"}
PLAIN = "correct horse battery"
TWO = {"label": "Say two", "command": ["echo", "two"], "timeout": "1m"}


def declaring(make: MakeImage, *objects: Any) -> str:
    """An image that declares these commands."""
    return declaring_text(make, json.dumps(objects))


def declaring_text(make: MakeImage, text: str) -> str:
    return make(f"LABEL releasephase.commands={json.dumps(text)}")


async def test_declared_commands_run_in_order(app: App, make_busybox_image: MakeImage) -> None:
    """They are known, and recorded, once the image is there; before that, none is."""
    request = app.request(commands=[], image=declaring(make_busybox_image, ONE, TWO))
    release = await app.stub.StartRelease(request)
    assert (release.commands_from, list(release.command_runs)) == (COMMANDS_FROM_SETTINGS, [])
    outcome = await app.outcome(release.name)
    assert (outcome.state, outcome.message) == ("SUCCEEDED", "")
    assert [outcome.output(index) for index in range(2)] == [b"one\n", b"two\n"]
    first, second = outcome.release.command_runs
    assert (first.label, first.line, first.source) == ("Say one", "echo one", CommandRun.SOURCE_IMAGE)
    assert (second.label, list(second.argv.arguments)) == ("Say two", ["echo", "two"])
    assert second.timeout.seconds == 60
    assert outcome.kinds[:5] == [
        "accepted",
        "state_changed",
        "image_resolved",
        "commands_resolved",
        "container_created",
    ]
    (resolved,) = (event for event in outcome.events if event.HasField("commands_resolved"))
    assert [run.label for run in resolved.commands_resolved.command_runs] == ["Say one", "Say two"]


async def test_command_for_another_environment_is_none_of_the_release(
    app: App, make_busybox_image: MakeImage
) -> None:
    """Nothing tells of it."""
    image = declaring(make_busybox_image, ONE | {"environments": ["test"]}, TWO | {"environments": ["live"]})
    outcome = await app.run(commands=[], image=image)
    assert [run.label for run in outcome.release.command_runs] == ["Say two"]
    assert outcome.output(0) == b"two\n"


async def test_list_in_the_request_replaces_what_is_declared(app: App, make_busybox_image: MakeImage) -> None:
    """All of it, be it malformed."""
    outcome = await app.run("echo mine", image=declaring_text(make_busybox_image, "["))
    assert (outcome.state, outcome.output(0)) == ("SUCCEEDED", b"mine\n")
    assert outcome.release.commands_from == COMMANDS_FROM_REQUEST


async def test_nothing_declared_needs_an_image_and_no_container(app: App) -> None:
    """An application without release commands is deployed like any other, if its image is there."""
    outcome = await app.run(commands=[])
    assert (outcome.state, list(outcome.release.command_runs)) == ("SUCCEEDED", [])
    assert outcome.kinds == [
        "accepted",
        "state_changed",
        "image_resolved",
        "commands_resolved",
        "state_changed",
    ]
    missing = await app.run(commands=[], image="not/there:1", pull_policy="PULL_POLICY_NEVER")
    assert (missing.state, missing.cause) == ("FAILED", "IMAGE_UNAVAILABLE")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "Input data was truncated"),
        ('[{"label": "a", "comand": "b"}]', "Object contains unknown field `comand` - at `$[0]`"),
        ('[{"label": "a", "command": " "}]', "$[0].command must not be empty"),
    ],
)
async def test_malformed_declaration_fails_the_release_with_its_place(
    app: App, make_busybox_image: MakeImage, text: str, message: str
) -> None:
    """In PREPARING: no container is made for it."""
    image = declaring_text(make_busybox_image, text)
    outcome = await app.run(commands=[], image=image)
    assert (outcome.state, outcome.cause) == ("FAILED", "COMMANDS_INVALID")
    assert outcome.message == f"The label releasephase.commands of the image {image} is malformed: {message}."
    assert outcome.kinds == ["accepted", "state_changed", "image_resolved", "state_changed"]


async def test_commands_of_a_request_can_be_skipped(app: App) -> None:
    """They are recorded as such, with the reason, and those around them run."""
    skipping = {"skip_labels": ["command 0", "command 2"], "skip_reason": "done by hand"}
    outcome = await app.run("echo never", "echo one", "echo never", "echo two", **skipping)
    assert outcome.state == "SUCCEEDED"
    assert outcome.command_states == ["SKIPPED", "SUCCEEDED", "SKIPPED", "SUCCEEDED"]
    reasons = [run.skip_reason for run in outcome.release.command_runs]
    assert reasons == ["done by hand", "", "done by hand", ""]
    assert [outcome.output(index) for index in range(4)] == [b"", b"one\n", b"", b"two\n"]


async def test_commands_can_be_skipped_with_a_container_each(app: App) -> None:
    """No container is made for them."""
    skipping = {"skip_labels": ["command 0"], "skip_reason": "done", "container_mode": 2}
    outcome = await app.run("echo never", "echo one", **skipping)
    assert outcome.command_states == ["SKIPPED", "SUCCEEDED"]
    assert outcome.kinds.count("container_created") == 1


async def test_all_commands_skipped_need_no_engine(app: App) -> None:
    """There is nothing to be run: the release succeeds at once."""
    outcome = await app.run("echo never", skip_labels=["command 0"], skip_reason="done", image="not/there:1")
    assert (outcome.state, outcome.command_states) == ("SUCCEEDED", ["SKIPPED"])
    assert outcome.kinds == ["accepted", "command_finished", "state_changed"]


async def test_declared_commands_can_be_skipped(app: App, make_busybox_image: MakeImage) -> None:
    """By their labels, before they are known."""
    image = declaring(make_busybox_image, ONE, TWO)
    skipping = {"skip_labels": ["Say one"], "skip_reason": "said"}
    outcome = await app.run(commands=[], image=image, **skipping)
    assert outcome.command_states == ["SKIPPED", "SUCCEEDED"]
    assert outcome.release.command_runs[0].skip_reason == "said"


async def test_skipping_what_is_not_there_fails_the_release(app: App, make_busybox_image: MakeImage) -> None:
    """A label that is misspelt must not let the command run."""
    image = declaring(make_busybox_image, ONE)
    outcome = await app.run(commands=[], image=image, skip_labels=["Say One"], skip_reason="said")
    assert (outcome.state, outcome.cause) == ("FAILED", "COMMANDS_INVALID")
    assert outcome.message == (
        "'Say One' is to be skipped, and there is no such command: there are 'Say one'."
    )
    assert outcome.command_states == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"command": f"login {PLAIN}"},
            "'Log in' is declared by the image {image} and contains the secret value of TOKEN: "
            'refer to it as "$TOKEN" in a shell line.',
        ),
        ({"command": ["login", PLAIN]}, "'Log in' is declared by the image {image} and contains "),
        (
            {"rollback": f"logout {PLAIN}"},
            "'Log in' is declared by the image {image} and contains ",
        ),
        (
            {"label": f"Log in with {PLAIN}"},
            "The label of a command that is declared by the image {image} contains the secret value of ",
        ),
    ],
)
async def test_secret_value_may_not_stand_in_what_an_image_declares(
    app: App, make_busybox_image: MakeImage, fields: dict[str, Any], message: str
) -> None:
    """It would be stored and shown, as in a request. Neither the release nor its plan says the value."""
    image = declaring(make_busybox_image, {"label": "Log in", "command": "login"} | fields)
    env = [EnvironmentVariable(name="TOKEN", value=PLAIN)]
    outcome = await app.run(commands=[], image=image, env=env)
    assert (outcome.state, outcome.cause, outcome.command_states) == ("FAILED", "COMMANDS_INVALID", [])
    assert outcome.message.startswith(message.format(image=image))
    assert PLAIN not in str((outcome.release, outcome.events))
    plan = await refused(app.start(commands=[], image=image, env=env, validate_only=True))
    assert plan.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert (PLAIN in str(plan), "TOKEN" in str(plan)) == (False, True)


async def test_secret_value_may_not_stand_in_the_settings(app: App) -> None:
    """Whoever keeps it there has stored it already, and is told."""
    command = ApplicationCommand(label="Log in", line=f"login {PLAIN}")
    await app.commands.CreateCommand(CreateCommandRequest(parent="applications/shop", command=command))
    outcome = await app.run(commands=[], env=[EnvironmentVariable(name="TOKEN", value=PLAIN)])
    assert (outcome.state, outcome.cause, outcome.command_states) == ("FAILED", "COMMANDS_INVALID", [])
    assert outcome.message.startswith("'Log in' is in the settings of shop and contains the secret value of ")
    assert PLAIN not in outcome.message


async def test_what_is_there_is_not_told_without_end(app: App, make_busybox_image: MakeImage) -> None:
    """A message names ten commands, and how many more there are."""
    image = declaring(make_busybox_image, *({"label": f"Say {n}", "command": "true"} for n in range(12)))
    outcome = await app.run(commands=[], image=image, skip_labels=["Say"], skip_reason="said")
    assert outcome.message.endswith(
        "there are 'Say 0', " + "".join(f"'Say {n}', " for n in range(1, 9)) + "'Say 9' and 2 more."
    )


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"skip_labels": ["command 0"]}, "skip_reason"),
        ({"skip_reason": "because"}, "skip_labels"),
        ({"skip_labels": ["command 1"], "skip_reason": "because"}, "skip_labels[0]"),
        ({"skip_labels": [""], "skip_reason": "because"}, "skip_labels[0]"),
        ({"skip_labels": ["command 0"], "skip_reason": "be\ncause"}, "skip_reason"),
    ],
)
async def test_skipping_needs_a_reason_and_a_command(app: App, fields: dict[str, Any], field: str) -> None:
    """What is wrong is said before anything is done."""
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await app.start("true", **fields)
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert f"{field}: must" in (error.value.details() or "")


@pytest.mark.parametrize("container_mode", [1, 2])
async def test_failure_that_is_allowed_is_recorded_and_the_release_goes_on(
    app: App, container_mode: int
) -> None:
    """Also if it is that of the last command."""
    commands = [
        ReleaseCommand(label="notice", line="echo no >&2; exit 3", allow_failure=True),
        ReleaseCommand(label="migrate", line="echo yes"),
        ReleaseCommand(label="clean up", line="no-such-command", allow_failure=True),
    ]
    outcome = await app.run(commands=commands, container_mode=container_mode)
    assert (outcome.state, outcome.message) == ("SUCCEEDED", "")
    assert outcome.command_states == ["FAILED", "SUCCEEDED", "FAILED"]
    assert [run.exit_code for run in outcome.release.command_runs] == [3, 0, 127]
    assert [run.allow_failure for run in outcome.release.command_runs] == [True, False, True]
    assert outcome.output(1) == b"yes\n"


async def test_timeout_of_what_may_fail_fails_the_release(app: App) -> None:
    """What had to be killed may have left anything behind."""
    hanging = ReleaseCommand(label="notice", line="sleep 60", allow_failure=True)
    hanging.timeout.FromMilliseconds(300)
    outcome = await app.run(commands=[hanging, ReleaseCommand(label="migrate", line="true")])
    assert (outcome.state, outcome.cause) == ("FAILED", "COMMAND_TIMED_OUT")
    assert outcome.command_states == ["TIMED_OUT", "SKIPPED"]


async def test_commands_that_are_told_twice_are_refused(app: App, make_busybox_image: MakeImage) -> None:
    """By an image: it says which."""
    outcome = await app.run(commands=[], image=declaring(make_busybox_image, ONE, ONE))
    assert outcome.cause == "COMMANDS_INVALID"
    assert outcome.message.endswith("malformed: $[1].label is the same as $[0].label: 'Say one'.")
