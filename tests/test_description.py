"""Containers that somebody else runs, as a real engine describes them."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import aiodocker
import pytest

from released.engine.description import Defaults
from released.engine.engine import Engine as EngineClient
from support.docker_engine import Engine
from support.other_container import a_container, a_network

RELEASE_ID = "0190163d-8694-739b-aea5-966c26f8ad91"


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[EngineClient]:
    client = EngineClient(engine.url, timedelta(seconds=30))
    try:
        yield client
    finally:
        await client.close()


async def test_container_by_name_and_id(
    client: EngineClient, docker: aiodocker.Docker, busybox_image: str
) -> None:
    """Also by the head of an id, as the engine has it."""
    async with a_container(docker, busybox_image) as (name, container_id):
        for given in (name, container_id, container_id[:12]):
            found = await client.find_container(given)
            assert found is not None
            assert (found.name, found.container_id, found.running) == (name, container_id, True)
        assert await client.find_container(f"{name}x") is None


async def test_container_that_never_ran(
    client: EngineClient, docker: aiodocker.Docker, busybox_image: str
) -> None:
    """It does not run."""
    async with a_container(docker, busybox_image, is_running=False) as (name, _):
        found = await client.find_container(name)
        assert found is not None
        assert not found.running


async def test_environment_and_user_of_container_and_image(
    client: EngineClient, docker: aiodocker.Docker, make_busybox_image: Callable[..., str]
) -> None:
    """A value may have equals signs and several lines; the container has the image's variables, too."""
    image = make_busybox_image("ENV A=1", "ENV B=2", "USER app")
    async with a_container(docker, image, Env=["B=3=4", "C=x\ny", "D="], User="root") as (name, _):
        found = await client.find_container(name)
        assert found is not None
        assert (found.environment, found.user) == ({"A": "1", "B": "3=4", "C": "x\ny", "D": ""}, "root")
        assert await client.find_defaults(found.image_id) == Defaults({"A": "1", "B": "2"}, "app")
    assert await client.find_defaults(f"sha256:{'0' * 64}") is None


@pytest.mark.parametrize("mode", ["host", "none"])
async def test_networks_of_the_engine_s_own(
    client: EngineClient, docker: aiodocker.Docker, busybox_image: str, mode: str
) -> None:
    """They are networks as others; its default, which anybody gets, is left out."""
    async with (
        a_container(docker, busybox_image, host={"NetworkMode": mode}) as (name, _),
        a_container(docker, busybox_image) as (default, _),
        a_container(docker, busybox_image, host={"NetworkMode": "bridge"}) as (bridge, _),
    ):
        found = [await client.find_container(each) for each in (name, default, bridge)]
        assert [each and each.networks for each in found] == [(mode,), (), ()]


async def test_first_network_is_the_one_that_it_was_created_in(
    client: EngineClient, docker: aiodocker.Docker, busybox_image: str
) -> None:
    """The others have no order."""
    async with a_network(docker) as one, a_network(docker) as other, a_network(docker) as third:
        first, *more = sorted((one, other, third), reverse=True)
        async with a_container(docker, busybox_image, networks=(first, *more)) as (name, _):
            found = await client.find_container(name)
            assert found is not None
            assert found.networks == (first, *sorted(more))


async def test_network_of_another_container(
    client: EngineClient, docker: aiodocker.Docker, busybox_image: str
) -> None:
    """It has none of its own, which is not the same as the default."""
    async with (
        a_container(docker, busybox_image) as (_, other),
        a_container(docker, busybox_image, host={"NetworkMode": f"container:{other}"}) as (name, _),
    ):
        found = await client.find_container(name)
        assert found is not None
        assert found.networks == (f"container:{other}",)


async def test_who_has_the_label_of_a_release_without_its_name_is_none(
    client: EngineClient, docker: aiodocker.Docker, make_busybox_image: Callable[..., str]
) -> None:
    """The label comes with an image that somebody made of a release's container."""
    labelled = make_busybox_image(f"LABEL releasephase.release=releases/{RELEASE_ID}")
    plain = make_busybox_image()
    name = "release-shop-live-966c26f8ad91"
    for image, called, expected in (
        (labelled, name, True),
        (labelled, "rp-web-of-somebody", False),
        (plain, name, False),
        (plain, "release-shop-", False),
    ):
        async with a_container(docker, image, called, is_running=False):
            found = await client.find_container(called)
            assert found is not None
            assert found.is_release is expected, (image, called)
