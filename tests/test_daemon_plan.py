"""Plans: what a release would be, on a real engine and a real registry, and nothing done for it."""

import json
from collections.abc import Callable
from datetime import timedelta

import grpc
import pytest

from released import planning
from releasephase.v1.daemon_service_pb2 import GetStatusRequest
from releasephase.v1.release_pb2 import CommandRun, Release
from releasephase.v1.release_service_pb2 import ListReleasesRequest, RegistryAuth
from support.app import App, Serve
from support.docker_engine import Engine
from support.registry import USERS, Registry

DECLARED = [
    {"label": "Migrate", "command": "echo migrate", "timeout": 60},
    {"label": "Check", "command": "true"},
]

MakeImage = Callable[..., str]


def declaring(make: MakeImage) -> str:
    """An image that declares two commands."""
    return make(f"LABEL releasephase.commands={json.dumps(json.dumps(DECLARED))}")


async def test_plan_has_commands_image_and_place_and_starts_nothing(
    app: App, engine: Engine, make_busybox_image: MakeImage
) -> None:
    """Each command with its source and its timeout, as it would be recorded."""
    image = declaring(make_busybox_image)
    plan = await app.start(commands=[], image=image, validate_only=True)
    assert [(run.label, run.timeout.seconds) for run in plan.command_runs] == [
        ("Migrate", 60),
        ("Check", 1800),
    ]
    assert {run.source for run in plan.command_runs} == {CommandRun.SOURCE_IMAGE}
    assert (plan.name, plan.state, plan.queue_position) == ("", Release.STATE_QUEUED, 0)
    assert plan.image_id.startswith("sha256:")
    assert (plan.image_digest, list(plan.remarks)) == ("", [])
    assert (await app.stub.ListReleases(ListReleasesRequest())).releases == []
    assert engine.release_containers() == set()


async def test_plan_tells_how_long_it_will_take(app: App) -> None:
    """By the medians of what has succeeded here, of those commands that would run."""
    first = await app.start("true", "true", validate_only=True)
    assert not first.HasField("expected_duration")
    await app.run("true", "true")
    known = await app.start("true", "true", validate_only=True)
    each = [run.expected_duration.ToTimedelta() for run in known.command_runs]
    assert known.expected_duration.ToTimedelta() == sum(each[1:], each[0])
    assert min(each).total_seconds() > 0
    skipping = {"skip_labels": ["command 0"], "skip_reason": "done"}
    shorter = await app.start("true", "true", **skipping, validate_only=True)
    assert shorter.expected_duration.ToTimedelta() == each[1]
    assert shorter.command_runs[0].state == CommandRun.STATE_SKIPPED
    assert not shorter.command_runs[0].HasField("expected_duration")
    longer = await app.start("true", "true", "true", validate_only=True)
    assert not longer.HasField("expected_duration")


async def test_plan_tells_the_place_in_the_lane(app: App) -> None:
    """Behind what is under way and what waits."""
    running = await app.start("sleep 60")
    plan = await app.start("true", validate_only=True)
    assert plan.queue_position == 1
    await app.cancel(running.name)
    await app.outcome(running.name)


async def test_plan_of_what_would_fail_is_refused_for_that(app: App, make_busybox_image: MakeImage) -> None:
    """With the place of what is malformed."""
    image = make_busybox_image('LABEL releasephase.commands="[{}]"')
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await app.start(commands=[], image=image, validate_only=True)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert "Object missing required field `label` - at `$[0]`" in (refused.value.details() or "")


async def test_image_that_would_be_pulled_is_looked_up_in_its_registry(
    app: App, registry: Registry, busybox_image: str
) -> None:
    """Its digest is told, nothing is pulled, and what it declares is not known."""
    reference = registry.reference("shop/app", "plan")
    digest = registry.push(busybox_image, reference)
    plan = await app.start(commands=[], image=reference, validate_only=True)
    assert plan.image_digest.endswith(f"/shop/app@{digest}")
    assert (plan.image_id, list(plan.command_runs)) == ("", [])
    (remark,) = plan.remarks
    assert remark == f"the image {reference} would be pulled: what it declares is not known before"
    assert not plan.HasField("expected_duration")
    explicit = await app.start("true", image=reference, validate_only=True)
    assert (explicit.image_digest, list(explicit.remarks)) == (plan.image_digest, [])


async def test_image_that_is_always_pulled_may_be_there(
    app: App, registry: Registry, make_busybox_image: MakeImage
) -> None:
    """If the registry has the same one, it is known what it declares."""
    reference = registry.reference("shop/app", "always")
    registry.push(declaring(make_busybox_image), reference)
    assert (await app.run(commands=[], image=reference)).state == "SUCCEEDED"
    plan = await app.start(commands=[], image=reference, pull_policy="PULL_POLICY_ALWAYS", validate_only=True)
    assert [run.label for run in plan.command_runs] == ["Migrate", "Check"]
    registry.push(make_busybox_image(), reference)
    other = await app.start(
        commands=[], image=reference, pull_policy="PULL_POLICY_ALWAYS", validate_only=True
    )
    assert (list(other.command_runs), len(other.remarks)) == ([], 1)
    assert other.image_digest not in ("", plan.image_digest)


async def test_image_that_nobody_has_is_remarked_upon(app: App, registry: Registry) -> None:
    """A plan is no promise: the image may be pushed in the meantime."""
    plan = await app.start("true", image=registry.reference("not/there"), validate_only=True)
    (remark,) = plan.remarks
    assert remark.startswith("which image would be pulled is not known: ")
    plan = await app.start(commands=[], image=registry.reference("not/there"), validate_only=True)
    (remark,) = plan.remarks
    assert remark.startswith("which image would be pulled, and what it declares, is not known: ")
    never = await app.start("true", image="not/there:1", pull_policy="PULL_POLICY_NEVER", validate_only=True)
    assert list(never.remarks) == ["the engine does not have the image not/there:1: the release would fail"]


async def test_registry_that_does_not_answer_is_not_waited_for(
    app: App, hanging_registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All else is told; and nobody takes the engine for unreachable because of it."""
    monkeypatch.setattr(planning, "REGISTRY_TIMEOUT", timedelta(milliseconds=200))
    plan = await app.start("true", image=hanging_registry.reference("shop/app"), validate_only=True)
    silence = "which image would be pulled is not known: its registry did not answer within 0.2s"
    assert list(plan.remarks) == [silence]
    assert (plan.image_digest, [run.label for run in plan.command_runs]) == ("", ["command 0"])
    assert (await app.daemon.GetStatus(GetStatusRequest())).engine.reachable


async def test_credentials_are_used_and_never_told(
    app: App, private_registry: Registry, busybox_image: str
) -> None:
    """Also in what the registry says about them."""
    reference = private_registry.reference("shop/app", "plan")
    digest = private_registry.push(busybox_image, reference)
    user, password = next(iter(USERS.items()))
    auth = RegistryAuth(username=user, password=password)
    plan = await app.start("true", image=reference, registry_auth=auth, validate_only=True)
    assert plan.image_digest.endswith(digest)
    wrong = RegistryAuth(username=user, password="wr0ng-passw0rd")
    refused = await app.start("true", image=reference, registry_auth=wrong, validate_only=True)
    assert len(refused.remarks) == 1
    assert "wr0ng-passw0rd" not in str(refused)


async def test_plan_of_nothing_needs_no_engine(serve: Serve) -> None:
    """It would succeed at once."""
    async with serve(engine={"url": "unix:///nonexistent/docker.sock"}) as app:
        plan = await app.start(validate_only=True)
        assert plan.state == Release.STATE_SUCCEEDED
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await app.start("true", validate_only=True)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
