"""What the other tests stand on, tested on the real engine."""

import re
from collections.abc import Callable

import aiodocker
import pytest

from support.engine import RELEASE_LABEL, Engine
from support.registry import USERS, Registry

ID_AND_FOLDER = ["/bin/sh", "-c", "id -un; pwd; echo $GREETING"]


async def output_of(docker: aiodocker.Docker, image: str, command: list[str]) -> str:
    """Run a container to its end and return what it wrote."""
    container = await docker.containers.create({"Image": image, "Cmd": command})
    try:
        await container.start()
        await container.wait()
        return "".join(await container.log(stdout=True, stderr=True))
    finally:
        await container.delete(force=True)


async def test_busybox_image_has_a_shell_and_applets(docker: aiodocker.Docker, busybox_image: str) -> None:
    """The tiny image runs a shell line with other programs in it."""
    assert (
        await output_of(docker, busybox_image, ["/bin/sh", "-c", "echo one two | cut -d' ' -f2"]) == "two\n"
    )


async def test_busybox_image_is_usable_by_another_user(
    docker: aiodocker.Docker, make_busybox_image: Callable[..., str]
) -> None:
    """Dockerfile lines change the image: user, working directory, environment."""
    image = make_busybox_image("USER app", "WORKDIR /home/app", "ENV GREETING=hello")
    assert await output_of(docker, image, ID_AND_FOLDER) == "app\n/home/app\nhello\n"
    assert await output_of(docker, image, ["/bin/sh", "-c", "echo kept > /tmp/a && cat /tmp/a"]) == "kept\n"


async def test_entrypoint_and_healthcheck_are_part_of_the_image(
    docker: aiodocker.Docker, make_busybox_image: Callable[..., str]
) -> None:
    """An ENTRYPOINT and a HEALTHCHECK arrive in the image's configuration."""
    image = make_busybox_image('ENTRYPOINT ["/bin/echo", "entered"]', "HEALTHCHECK CMD /bin/true")
    config = (await docker.images.inspect(image))["Config"]
    assert config["Entrypoint"] == ["/bin/echo", "entered"]
    assert config["Healthcheck"]["Test"] == ["CMD-SHELL", "/bin/true"]
    assert await output_of(docker, image, ["with", "arguments"]) == "entered with arguments\n"


async def test_the_same_content_is_imported_once(
    engine: Engine, make_busybox_image: Callable[..., str]
) -> None:
    """An image's name is a function of its content, so a cached engine gathers no garbage."""
    assert make_busybox_image("ENV A=1") == make_busybox_image("ENV A=1")
    assert make_busybox_image("ENV A=1") != make_busybox_image("ENV A=2")


async def test_shell_less_image_has_no_shell(docker: aiodocker.Docker, shell_less_image: str) -> None:
    """The binary in it works under its own names, and there is no /bin/sh to start."""
    assert await output_of(docker, shell_less_image, ["/bin/true"]) == ""
    with pytest.raises(aiodocker.DockerError, match="/bin/sh"):
        await output_of(docker, shell_less_image, ["/bin/sh", "-c", "true"])


async def test_dash_image_runs_dash(docker: aiodocker.Docker, dash_image: str) -> None:
    """Its /bin/sh is dash, which has no `let`, unlike busybox."""
    assert "not found" in await output_of(docker, dash_image, ["/bin/sh", "-c", "let a=1"])


async def test_a_pushed_image_can_be_pulled(
    docker: aiodocker.Docker, registry: Registry, busybox_image: str
) -> None:
    """Push, forget, pull: the digest is the same, and the registry's log shows the pull."""
    reference = registry.reference("environment/pulled")
    digest = registry.push(busybox_image, reference)
    pushed = registry.manifest_requests("environment/pulled")
    await docker.images.pull(reference)
    # Among others: other tests push the same image under other names.
    digests = (await docker.images.inspect(reference))["RepoDigests"]
    assert f"{registry.address}/environment/pulled@{digest}" in digests
    assert re.fullmatch(r"sha256:[0-9a-f]{64}", digest)
    assert len(registry.manifest_requests("environment/pulled")) > len(pushed)
    registry.forget(reference)


async def test_private_registry_refuses_strangers(
    docker: aiodocker.Docker, private_registry: Registry, busybox_image: str
) -> None:
    """Without a password there is no image; either user can pull it."""
    reference = private_registry.reference("environment/private")
    private_registry.push(busybox_image, reference)
    with pytest.raises(aiodocker.DockerError, match="no basic auth credentials"):
        await docker.images.pull(reference)
    with pytest.raises(aiodocker.DockerError, match="unauthorized"):
        await docker.images.pull(reference, auth={"username": "reader", "password": "wrong"})
    for user, password in USERS.items():
        await docker.images.pull(reference, auth={"username": user, "password": password})
        private_registry.forget(reference)


async def test_what_is_left_behind_is_seen(
    docker: aiodocker.Docker, engine: Engine, busybox_image: str
) -> None:
    """A container with the label of a release is found whatever its state, others are not."""
    config = {"Image": busybox_image, "Cmd": ["/bin/true"]}
    plain = await docker.containers.create(config)
    labelled = await docker.containers.create(
        {**config, "Labels": {RELEASE_LABEL: "releases/x"}}, name="rp-left-behind"
    )
    try:
        assert engine.release_containers() == {"rp-left-behind (created)"}
    finally:
        await labelled.delete(force=True)
        await plain.delete(force=True)
    assert not engine.release_containers()
