"""Attempts to swap what is mounted between the check and the mount, on a real engine."""

import os
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from support.app import App, release_request
from support.docker_engine import Engine
from support.process import DaemonProcess
from support.refusals import assert_failed, assert_never_mounted, at


@pytest.mark.parametrize(
    ("owner", "mode", "words"),
    [
        (65534, 0o755, "belongs to nobody (uid 65534)"),
        (0, 0o775, "can be changed by others than root"),
        (0, 0o757, "can be changed by others than root"),
    ],
)
async def test_folders_that_others_can_change(
    app: App, tmp_path: Path, owner: int, mode: int, words: str
) -> None:
    """What was checked could be swapped before the engine mounts it; also on the way of a link."""
    folder = tmp_path / "folder"
    (folder / "media").mkdir(parents=True)
    (tmp_path / "link").symlink_to("folder/media")
    (folder / "back").symlink_to(tmp_path / "safe")
    (tmp_path / "safe").mkdir()
    os.chown(folder, owner, 0)
    folder.chmod(mode)
    for path in (folder / "media", tmp_path / "link", folder / "back"):
        await assert_never_mounted(app, path, f"{folder} {words}")
    # That others can change what is mounted itself is what it is for.
    outcome = await app.run("test -d /m/media && echo mounted", **at(folder))
    assert outcome.output() == b"mounted\n"


async def test_sticky_folders_keep_only_what_is_roots(app: App, tmp_path: Path) -> None:
    """As /tmp does: others can swap only what is theirs."""
    sticky = tmp_path / "sticky"
    sticky.mkdir()
    sticky.chmod(0o1777)
    (sticky / "ours").mkdir()
    (sticky / "theirs").mkdir()
    os.chown(sticky / "theirs", 65534, 0)
    (sticky / "link").symlink_to(sticky / "ours")
    os.chown(sticky / "link", 65534, 0, follow_symlinks=False)
    for name in ("theirs", "link"):
        await assert_never_mounted(app, sticky / name, "can be changed by others than root")
    assert (await app.run("echo mounted", **at(sticky / "ours"))).output() == b"mounted\n"


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def swapped_for_a_link(media: Path) -> None:
    media.rmdir()
    media.symlink_to("/")


def swapped_by_way_of_its_folder(media: Path) -> None:
    media.parent.rename(media.parent.with_name("old"))
    media.parent.symlink_to("/var")


def given_away(media: Path) -> None:
    os.chown(media.parent, 65534, 65534)


def removed(media: Path) -> None:
    media.rmdir()


def made_a_socket(media: Path) -> None:
    media.rmdir()
    make_socket(media)


@pytest.mark.parametrize(
    ("swap", "words"),
    [
        (swapped_for_a_link, "/ contains /bin"),
        (swapped_by_way_of_its_folder, "can't be looked at"),
        (given_away, "belongs to nobody"),
        (removed, "can't be looked at"),
        (made_a_socket, "neither a directory nor a regular file"),
    ],
)
@pytest.mark.parametrize("mode", ["CONTAINER_MODE_PER_RELEASE", "CONTAINER_MODE_PER_COMMAND"])
async def test_source_that_is_swapped_while_the_release_waits(
    app: App, tmp_path: Path, swap: Callable[[Path], None], words: str, mode: str
) -> None:
    """It is looked at again right before the container is made."""
    media = tmp_path / "shop" / "media"
    media.mkdir(parents=True)
    gate = tmp_path / "gate"
    gate.mkdir()
    first = await app.start("echo up; until [ -e /m/open ]; do sleep 0.05; done", **at(gate))
    await app.until_output(first.name, b"up\n")
    second = await app.start("echo escaped; ls /m", **at(media), container_mode=mode)
    swap(media)
    (gate / "open").touch()
    assert (await app.outcome(first.name)).state == "SUCCEEDED"
    assert_failed(await app.outcome(second.name), words)


@pytest.mark.parametrize("outer_is_first", [True, False])
async def test_source_inside_of_what_another_release_may_write(
    app: App, tmp_path: Path, outer_is_first: bool
) -> None:
    """Root in its container is root: it could put a link there, before the engine mounts the source."""
    inner = tmp_path / "shop" / "media"
    inner.mkdir(parents=True)
    outer = at(tmp_path, read_only=False)
    first, second = (outer, at(inner)) if outer_is_first else (at(inner), outer)
    running = await app.start("echo up; sleep 1000", **first)
    await app.until_output(running.name, b"up\n")
    assert_failed(await app.run("echo escaped", environment="test", **second), "lie in each other")
    await app.cancel(running.name)
    await app.outcome(running.name)
    assert (await app.run("echo mounted", environment="test", **second)).output() == b"mounted\n"


async def test_sources_inside_of_each_other_that_nobody_may_write(app: App, tmp_path: Path) -> None:
    """They don't get in each other's way, nor do two releases that write the same folder."""
    (tmp_path / "inner").mkdir()
    reading = await app.start("echo up; sleep 1000", **at(tmp_path))
    await app.until_output(reading.name, b"up\n")
    for mount in (at(tmp_path / "inner"), at(tmp_path, read_only=False)):
        assert (await app.run("echo mounted", environment="test", **mount)).state == "SUCCEEDED"
    await app.cancel(reading.name)
    await app.outcome(reading.name)


@contextmanager
def a_volume(engine: Engine, path: Path) -> Iterator[str]:
    """A volume that is a bind mount of a folder of the host."""
    name = f"rp-test-{secrets.token_hex(8)}"
    options = {"type": "none", "o": "bind", "device": str(path)}
    engine.http.json("POST", "/volumes/create", body={"Name": name, "DriverOpts": options})
    try:
        yield name
    finally:
        engine.http.request("DELETE", f"/volumes/{name}")


@contextmanager
def a_link(_: Engine, path: Path) -> Iterator[str]:
    """Another name for a folder of the host."""
    link = path.with_name("link")
    link.symlink_to(path)
    yield str(link)


@pytest.mark.parametrize("named", [a_link, a_volume])
def test_source_inside_of_what_an_adopted_release_may_write(
    engine: Engine,
    busybox_image: str,
    tmp_path: Path,
    named: Callable[[Engine, Path], AbstractContextManager[str]],
) -> None:
    """The daemon may have been started again meanwhile; what is mounted counts, by whatever name."""
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder,
        named(engine, tmp_path / "outer") as source,
        DaemonProcess(Path(folder), engine.url) as daemon,
    ):
        until = "until [ -e /m/{} ]; do sleep 0.05; done"
        line = f"echo up; {until.format('go')}; echo on; {until.format('open')}"
        outer, inner = at(source, read_only=False), at(tmp_path / "outer" / "inner")
        first = daemon.stub.StartRelease(release_request(line, image=busybox_image, **outer))
        daemon.until_output(first.name, b"up\n")
        daemon.kill()
        daemon.start()
        (tmp_path / "outer" / "go").touch()
        # Then the daemon has found the container again.
        daemon.until_output(first.name, b"on\n")
        request = release_request("echo escaped", image=busybox_image, environment="test", **inner)
        assert_failed(daemon.outcome(daemon.stub.StartRelease(request).name), "lie in each other")
        (tmp_path / "outer" / "open").touch()
        assert daemon.outcome(first.name).state == "SUCCEEDED"
