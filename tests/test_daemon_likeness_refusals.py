"""Containers that a release may not be like, and what of them it may not have, on a real engine."""

from contextlib import AsyncExitStack
from typing import Any

import aiodocker
import grpc
import msgspec
import pytest

from released.config import MountRule, PolicyTable
from support.app import ANY_MOUNT, App, Serve
from support.docker_engine import Engine
from support.other_container import a_container
from support.refusals import DENIED, INVALID, refusal
from support.rpc_errors import details_of, refused
from support.web import PASSWORD, SHOWN, TOKEN, VARIABLES, Web


async def test_nothing_is_taken_without_a_policy(app: App, web: Web) -> None:
    """Nobody is told whether a container is there: the words are the same for one that is not."""
    why = [
        (await refusal(app, like_container=name))["like_container"].replace(name, "NAME")
        for name in (web.name, web.container_id, web.container_id[:12], "none-such", "f" * 64)
    ]
    assert set(why) == {"NAME is not allowed: the policy for shop/live allows none"}


async def test_container_that_the_policy_does_not_name(serve: Serve, web: Web) -> None:
    """It is as if it was not there, also if its id is given and looks like a name that is allowed."""
    async with serve(policy=PolicyTable(like_containers=("shop-*", f"{web.container_id[:6]}*"))) as app:
        for name in (web.name, "none-such", web.container_id[:4], "f" * 64):
            why = await refusal(app, like_container=name)
            assert f"{name} is not allowed: the policy for shop/live allows shop-*" in why["like_container"]
        for name in ("shop-none-such", web.container_id, web.container_id[:12]):
            why = await refusal(app, INVALID, like_container=name)
            assert why == {"like_container": f"the engine has no container {name}: see `docker ps`"}


async def test_policy_of_another_target(serve: Serve, web: Web) -> None:
    """Each has its own."""
    async with serve(policy=PolicyTable()) as app:
        tables = {"default": PolicyTable(), "shop/test": SHOWN}
        app.configuration.replace(msgspec.structs.replace(app.config, policy=tables))
        assert set(await refusal(app, like_container=web.name)) == {"like_container"}
        assert (await app.run("true", like_container=web.name, environment="test")).state == "SUCCEEDED"


async def test_head_of_several_ids(serve: Serve, docker: aiodocker.Docker, web_image: str) -> None:
    """Who may take from none of them is told nothing; else the engine says what is wrong."""
    heads = "0123456789abcdef"
    async with AsyncExitStack() as stack:
        ids = []
        for _ in range(len(heads) + 1):
            container = a_container(docker, web_image, is_running=False)
            ids.append((await stack.enter_async_context(container))[1])
        head = next(head for head in heads if sum(each.startswith(head) for each in ids) > 1)
        app = await stack.enter_async_context(serve(policy=PolicyTable(like_containers=("web",))))
        why = (await refusal(app, like_container=head))["like_container"]
        assert why == f"{head} is not allowed: the policy for shop/live allows web"
        app = await stack.enter_async_context(serve(policy=PolicyTable(like_containers=("*",))))
        why = (await refusal(app, INVALID, like_container=head))["like_container"]
        assert why.endswith(f"IDs found with provided prefix: {head}")


async def test_container_that_does_not_run(like_app: App, docker: aiodocker.Docker, web_image: str) -> None:
    """What it has may be long out of date."""
    async with a_container(docker, web_image, is_running=False) as (name, _):
        why = await refusal(like_app, INVALID, like_container=name)
        assert why == {"like_container": f"{name} is not running: start it, or name one that is"}


async def test_container_of_a_release(serve: Serve, engine: Engine) -> None:
    """What somebody sent for one release is nobody else's, whatever the policy says."""
    async with serve(policy=PolicyTable(like_containers=("*",))) as app:
        running = await app.start("echo up; sleep 1000")
        await app.until_output(running.name, b"up\n")
        for environment in ("live", "test"):
            like = engine.container_of(running.name)
            error = await refused(app.start("true", environment=environment, like_container=like))
            assert error.code() is DENIED
            assert "is the container of a release: name one of the application" in str(error.details())
        await app.cancel(running.name)
        await app.outcome(running.name)


@pytest.mark.parametrize("name", ["../../info", "a/b", "a b", "", "-a", "a?all=1", "web\n", "x" * 129])
async def test_texts_that_are_no_names(like_app: App, name: str) -> None:
    """They are bad input, and the engine never gets them; the empty text is none."""
    if name:
        why = await refusal(like_app, INVALID, like_container=name)
        assert why == {"like_container": "must be the name or the id of a container"}
    else:
        assert (await like_app.run("true", like_container=name)).state == "SUCCEEDED"


async def test_malformed_target_is_told_nothing_of_containers(like_app: App) -> None:
    """Nobody has a role for it."""
    why = await refusal(like_app, INVALID, application="Shop!", like_container="rp-web-none-such")
    assert set(why) == {"application"}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"networks": ("shop-*",)}, ["the network {one} of {web}", "the network {other} of {web}"]),
        ({"users": ("1000:1000",)}, ["the user of {web}: app is not allowed"]),
        ({"root_allowed": False}, ["the user of {web}: 'app' can be root"]),
        (
            {"environment_names": ("LEVEL", "API_*", "QUIET")},
            ["the variable 'DATABASE_URL' of {web}: DATABASE_URL is not allowed"],
        ),
        (
            {"mounts": (MountRule("*", "/data"),)},
            ["the mount at /config of {web}", "the mount at /data of {web}"],
        ),
    ],
    ids=str,
)
async def test_policy_holds_for_what_is_taken(
    serve: Serve, web: Web, keys: dict[str, Any], words: list[str]
) -> None:
    """It is told by its name in the container, since the caller has sent none of it; values never are."""
    policy = {"like_containers": ("rp-web-*",), "mounts": ANY_MOUNT, **keys}
    async with serve(policy=PolicyTable(**policy)) as app:
        error = await refused(app.start("true", like_container=web.name))
    info, bad = details_of(error)
    assert (error.code(), info.reason) == (DENIED, "POLICY_VIOLATION")
    told = [(violation.field, violation.description) for violation in bad.field_violations]
    one, other = web.networks
    expected = [text.format(web=web.name, one=one, other=other) for text in words]
    assert [field for field, _ in told] == ["like_container"] * len(expected)
    assert all(start in text for (_, text), start in zip(told, expected, strict=True)), told
    assert not any(value in f"{error.details()}{bad}" for value in VARIABLES.values() if len(value) > 5)


@pytest.mark.parametrize(
    ("mode", "code", "words"),
    [
        (
            "host",
            DENIED,
            "the network host of NAME: is the host's own network, which no release may join: "
            "name another one in networks",
        ),
        ("container:", INVALID, "of NAME: must be the name of a network"),
    ],
)
async def test_networks_that_no_release_may_join(
    like_app: App, docker: aiodocker.Docker, web_image: str, mode: str, code: grpc.StatusCode, words: str
) -> None:
    """The release is not quietly put elsewhere; who names other networks, as the refusal says, gets these."""
    async with (
        a_container(docker, web_image) as (_, other),
        a_container(
            docker, web_image, host={"NetworkMode": f"{mode}{other}" if mode.endswith(":") else mode}
        ) as (name, _),
    ):
        why = await refusal(like_app, code, like_container=name)
        assert words in why["like_container"].replace(name, "NAME")
        assert (await like_app.run("true", like_container=name, networks=["bridge"])).state == "SUCCEEDED"


async def test_limits_hold_for_all_of_it(like_app: App, docker: aiodocker.Docker, web_image: str) -> None:
    """However many variables come from where."""
    variables = [f"V{index}=x" for index in range(1000)]
    async with a_container(docker, web_image, Env=variables) as (name, _):
        why = await refusal(like_app, INVALID, like_container=name, env=[{"name": "ONE", "value": "more"}])
        assert why == {"env": f"must be 1000 at most, not 1001, with what {name} has"}
        assert (await like_app.run("true", like_container=name)).state == "SUCCEEDED"


async def test_value_that_is_too_long(like_app: App, docker: aiodocker.Docker, web_image: str) -> None:
    """It is told by its name."""
    async with a_container(docker, web_image, Env=["LONG=" + "x" * 70_000]) as (name, _):
        why = await refusal(like_app, INVALID, like_container=name)
        assert why == {
            "like_container": f"the variable 'LONG' of {name}: must be 65536 bytes at most, with its name"
        }


async def test_all_that_is_wrong_is_said_at_once(like_app: App) -> None:
    """Whatever is wrong with the container."""
    why = await refusal(like_app, INVALID, like_container="rp-web-none-such", user="root\n")
    assert set(why) == {"like_container", "user"}
    why = await refusal(like_app, like_container="none-such", networks=["host"])
    assert set(why) == {"like_container", "networks[0]"}
    why = await refusal(like_app, INVALID, like_container="none-such", user="root\n")
    assert set(why) == {"like_container", "user"}


async def test_secret_of_the_container_that_stands_in_the_request(like_app: App, web: Web) -> None:
    """It is refused as one that was sent; the value is not told."""
    error = await refused(like_app.start(f"login {TOKEN}", requested_by=PASSWORD, like_container=web.name))
    _, bad = details_of(error)
    told = {violation.field: violation.description for violation in bad.field_violations}
    assert set(told) == {"commands[0].line", "requested_by"}
    assert "the secret value of API_TOKEN" in told["commands[0].line"]
    assert TOKEN not in f"{error.details()}{bad}"
    assert PASSWORD not in f"{error.details()}{bad}"


async def test_secret_of_the_request_that_stands_for_a_container(like_app: App) -> None:
    """The refusal would quote it."""
    env = [{"name": "A_SECRET", "value": TOKEN}]
    error = await refused(like_app.start("true", like_container=TOKEN, env=env))
    _, bad = details_of(error)
    assert [violation.field for violation in bad.field_violations] == ["like_container"]
    assert TOKEN not in f"{error.details()}{bad}"


async def test_engine_that_does_not_answer(serve: Serve) -> None:
    """It is to be tried again; who may take nothing is told so all the same."""
    async with serve(policy=SHOWN, engine={"url": "unix:///tmp/rp-no-such-engine.sock"}) as app:
        error = await refused(app.start("true", like_container="rp-web-a"))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert details_of(error)[0].reason == "ENGINE_UNAVAILABLE"
        assert "like_container" in await refusal(app, like_container="web")
