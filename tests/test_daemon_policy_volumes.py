"""Attempts to get at the host by way of named volumes and of mount targets, on a real engine."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import aiodocker
import pytest

from released.config import Config
from released.engine.engine import Engine as EngineClient
from released.engine.errors import EngineUnreachable
from released.model.release import Mount
from released.policy.policy import Policy
from support.app import App
from support.docker_engine import Engine
from support.refusals import INVALID, assert_failed, assert_never_mounted, at, refusal

VolumeOptions = dict[str, str]


def a_name() -> str:
    """Of a volume that the engine does not have, whoever else tests there."""
    return f"rp-test-{secrets.token_hex(8)}"


@asynccontextmanager
async def a_volume(
    docker: aiodocker.Docker, options: VolumeOptions, name: str | None = None
) -> AsyncIterator[str]:
    name = name or a_name()
    volume = {"Name": name, "Driver": "local", "DriverOpts": options}
    await docker._query_json("volumes/create", method="POST", data=volume)
    try:
        yield name
    finally:
        await docker._query_json(f"volumes/{name}", method="DELETE")


@asynccontextmanager
async def a_client(url: str) -> AsyncIterator[EngineClient]:
    client = EngineClient(url, timedelta(seconds=30))
    try:
        yield client
    finally:
        await client.close()


def bind(device: object, flags: str = "bind") -> VolumeOptions:
    return {"type": "none", "o": flags, "device": str(device)}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (bind("/"), "contains"),
        (bind("/etc"), "belongs to the system"),
        (bind("/etc", "ro,rbind"), "belongs to the system"),
        (bind("/proc/1/root"), "belongs to the system"),
        (bind("/var/run/docker.sock"), "belongs to the system"),
        (bind("/srv/../etc"), "belongs to the system"),
        (bind("etc"), "no absolute path"),
        ({"type": "bind", "o": "", "device": "/etc"}, "belongs to the system"),
        ({"type": "ext4", "device": "/dev/sda1"}, "mounts '/dev/sda1' as 'ext4'"),
        ({"type": "overlay", "device": "overlay", "o": "lowerdir=/etc:/usr"}, "as 'overlay'"),
        ({"type": "proc", "device": "proc"}, "as 'proc'"),
        ({"type": "cgroup", "device": "cgroup", "o": "memory"}, "as 'cgroup'"),
        ({"type": "9p", "device": "/"}, "as '9p'"),
    ],
    ids=str,
)
async def test_volumes_that_are_something_of_the_host(
    app: App, docker: aiodocker.Docker, options: VolumeOptions, words: str
) -> None:
    """A volume has a harmless name, whatever is behind it."""
    async with a_volume(docker, options) as volume:
        await assert_never_mounted(app, volume, words)


async def test_volume_by_way_of_a_link(app: App, docker: aiodocker.Docker, tmp_path: Path) -> None:
    """The same checks hold for where it leads to."""
    (tmp_path / "link").symlink_to("/etc")
    async with a_volume(docker, bind(tmp_path / "link")) as volume:
        await assert_never_mounted(app, volume, "belongs to the system")


async def test_volume_that_is_swapped_while_the_release_waits(
    app: App, docker: aiodocker.Docker, tmp_path: Path
) -> None:
    """It is looked at again right before the container is made."""
    first = await app.start("echo up; until [ -e /m/open ]; do sleep 0.05; done", **at(tmp_path))
    await app.until_output(first.name, b"up\n")
    name = a_name()
    second = await app.start("echo escaped", **at(name))
    async with a_volume(docker, bind("/etc"), name):
        (tmp_path / "open").touch()
        await app.outcome(first.name)
        assert_failed(await app.outcome(second.name), "belongs to the system")


async def test_volume_of_an_adopted_release_that_cannot_be_told(
    docker: aiodocker.Docker, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """An earlier policy may have allowed it: the release goes on, and the log says so."""
    async with a_client(engine.url) as client, a_volume(docker, {"type": "proc", "device": "proc"}) as volume:
        await Policy(Config(), client, None).keep("a", [Mount(volume, "/m", False)])
    assert f"where the volume {volume} is can't be told: the volume mounts 'proc'" in caplog.text


async def test_volume_of_an_adopted_release_waits_for_the_engine(tmp_path: Path) -> None:
    """Nothing is taken for harmless because nobody answers."""
    async with a_client(f"unix://{tmp_path}/none.sock") as client:
        with pytest.raises(EngineUnreachable):
            await Policy(Config(), client, None).keep("a", [Mount("shop-data", "/m", False)])


async def test_image_writes_nothing_into_a_volume_that_may_only_be_read(
    app: App, docker: aiodocker.Docker, tmp_path: Path
) -> None:
    """The engine fills an empty volume with what the image has there, be it a setuid program."""
    async with a_volume(docker, bind(tmp_path)) as volume:
        assert (await app.run("ls -A /home", **at(volume, "/home"))).output() == b""
        assert list(tmp_path.iterdir()) == []
        await app.run("true", **at(volume, "/home", read_only=False))
        assert [path.name for path in tmp_path.iterdir()] == ["app"]


async def test_harmless_volumes_are_mounted(app: App, docker: aiodocker.Docker, tmp_path: Path) -> None:
    """A folder of the engine's, a tmpfs, and a bind mount of what may be mounted by its path."""
    (tmp_path / "file").write_text("from the host\n")
    for options, line, output in (
        ({}, "ls -A /m", b""),
        ({"type": "tmpfs", "device": "tmpfs"}, "df -T /m | tail -n 1 | cut -c 1-5", b"tmpfs\n"),
        (bind(tmp_path), "cat /m/file", b"from the host\n"),
    ):
        async with a_volume(docker, options) as volume:
            assert (await app.run(line, **at(volume))).output() == output


@pytest.mark.parametrize(
    "target",
    [
        *("/proc", "/proc/", "//proc", "/proc/1/mem", "/proc/sys", "/proc/self/attr"),
        *("/sys", "/sys/fs/cgroup", "/dev", "/dev/shm", "/dev/pts/0", "/./dev", "/sbin/docker-init"),
    ],
)
async def test_targets_that_are_the_kernel_s_or_the_engine_s(app: App, tmp_path: Path, target: str) -> None:
    """What confines the container relies on them."""
    assert set(await refusal(app, **at(tmp_path, target))) == {"mounts[0]"}


@pytest.mark.parametrize("target", ["/", "//", "/x/../proc", "proc", "../proc", "/..", "/x\n/y", ""])
async def test_targets_that_are_malformed(app: App, tmp_path: Path, target: str) -> None:
    """They are bad input."""
    assert set(await refusal(app, INVALID, **at(tmp_path, target))) == {"mounts[0].target"}


async def test_mounts_over_what_runs_the_commands_forge_no_success(app: App, tmp_path: Path) -> None:
    """Whoever may mount a folder over /bin replaces the shell, and the release fails."""
    outcome = await app.run("echo escaped", **at(tmp_path, "/bin"))
    assert (outcome.state, outcome.cause) == ("FAILED", "CONTAINER_FAILED")
