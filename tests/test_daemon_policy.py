"""Attempts to have the daemon mount what nobody may mount, on a real engine.

Its policy allows any mount anywhere, to be written: what is refused here is refused whatever the policy says.
"""

import os
import socket
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiodocker
import pytest

from support import busybox, debian
from support.app import App, Serve, serving_app
from support.daemon import running_daemon
from support.docker_engine import Engine
from support.private_docker import private_docker
from support.refusals import INVALID, assert_never_mounted, at, refusal


@pytest.mark.parametrize(
    "source",
    [
        *("/", "//", "/.", "/./", "///"),
        *("/etc", "/etc/", "/etc/.", "//etc", "/./etc", "/etc/shadow", "/etc/released/config.toml"),
        *("/usr", "/usr/local/bin", "/bin", "/bin/sh", "/sbin", "/lib", "/lib64", "/boot", "/root"),
        *("/dev", "/dev/null", "/dev/shm", "/dev/mem", "/sys", "/sys/fs/cgroup", "/sys/kernel/security"),
        *("/proc", "/proc/self/root", "/proc/1/root/srv", "/proc/self/cwd", "/proc/self/fd/0"),
        *("/run", "/run/docker.sock", "/run/containerd/containerd.sock", "/var/run", "/var/run/docker.sock"),
        *("/var", "/var/", "/var/lib", "/var/lib/docker", "/var/lib/docker/volumes/x", "/var/lib/containerd"),
        *("/var/lib/released", "/var/lib/released/audit.db.key", "/var/spool/cron", "/var/spool"),
        *("/efi", "/lib32", "/libx32", "/lost+found", "/nix", "/nix/store", "/snap", "/snap/bin"),
        *("/var/lib/containers", "/var/lib/dpkg", "/var/lib/kubelet", "/var/lib/rpm", "/var/lib/systemd"),
        *("/var/lock", "/var/log/journal", "/var/log", "/var/spool/anacron", "/var/spool/at"),
    ],
)
async def test_system_directories_what_is_in_them_and_what_they_are_in(app: App, source: str) -> None:
    """However the path is written."""
    await assert_never_mounted(app, source)


@pytest.mark.parametrize("source", ["/srv/..", "/srv/../etc", "/../etc", "/tmp/x/../../etc", "..", "./x"])
async def test_paths_with_dots_are_malformed(app: App, source: str) -> None:
    """Nobody has to work out where they lead."""
    assert set(await refusal(app, INVALID, **at(source))) == {"mounts[0].source"}


@pytest.mark.parametrize("where", [".", "..", "volumes", "image/../containers", "no/such/folder"])
async def test_the_engine_s_data(app: App, docker: aiodocker.Docker, where: str) -> None:
    """Wherever it is: all images, all other containers and their volumes."""
    data = Path((await docker.system.info())["DockerRootDir"])
    await assert_never_mounted(app, os.path.normpath(data / where), "the engine")


async def test_the_engine_s_socket(app: App, engine: Engine) -> None:
    """Whoever has it is root on the host."""
    path = Path(engine.url.removeprefix("unix://"))
    await assert_never_mounted(app, path, "the engine")
    await assert_never_mounted(app, path.parent, "contains")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "released.sock",
        "released.sock.inner",
        "released.sock.inner/grpc.sock",
        "released.sock.secrets",
        "released.sock.secrets/any.json",
        "audit.db",
        "audit.db-wal",
        "audit.db.key",
        "audit.db.reserve",
    ],
)
async def test_the_daemon_s_own_files(app: App, name: str) -> None:
    """Its sockets, the secrets of other releases, its audit log and the key of that."""
    await assert_never_mounted(app, app.folder / name, "the release daemon")


async def test_files_that_the_configuration_names(serve: Serve, tmp_path: Path) -> None:
    """Credentials of registries and metrics: from the start, and where they are since a reload."""
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "registry.json").write_text("{}")
        (folder / "registry.json").chmod(0o600)
    settings = {"registry_config": old / "registry.json", "metrics": {"path": old / "released.prom"}}
    async with serve(**settings) as app:
        for name in ("registry.json", "released.prom", "released.prom.tmp", ""):
            await assert_never_mounted(app, old / name, "the release daemon")
        app.reconfigure("registry", config=new / "registry.json")
        app.reconfigure("metrics", path=new / "released.prom")
        for name in ("registry.json", "released.prom", ""):
            await assert_never_mounted(app, new / name, "the release daemon")
        assert (await app.run("echo mounted", **at(old))).output() == b"mounted\n"


def test_the_daemon_s_configuration(engine: Engine, busybox_image: str) -> None:
    """Whoever writes it has the policy."""
    with running_daemon(engine.url) as daemon:
        volume = f"{daemon.folder}/config.toml:/m"
        done = daemon.releasectl("run", "shop/live", busybox_image, "-v", volume, "-c", "x=true")
    assert done.returncode == 4
    assert "mounts[0]: " in done.stderr
    assert "belongs to the release daemon" in done.stderr


@pytest.mark.parametrize(
    ("target", "below"),
    [
        ("/", ""),
        ("/etc", ""),
        ("/", "/etc/ssh"),
        ("/proc/self/root", ""),
        ("/proc/self/root", "/srv"),
        ("/proc/self/cwd", ""),
        ("/proc/1/root/tmp", ""),
        ("/var/run", "/docker.sock"),
        ("/dev/fd", "/0"),
        ("../../../../../../../../etc", ""),
        ("../../../../../../../..", ""),
        ("//etc//.", ""),
        ("/srv/../etc", ""),
    ],
)
async def test_links(app: App, tmp_path: Path, target: str, below: str) -> None:
    """Where a link leads counts, also in the middle of a path and by way of another link."""
    (tmp_path / "link").symlink_to(target)
    (tmp_path / "to-link").symlink_to("link")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "absolute").symlink_to(tmp_path / "to-link")
    for name in ("link", "to-link", "folder/absolute"):
        await assert_never_mounted(app, f"{tmp_path}/{name}{below}")


async def test_links_in_a_circle(app: App, tmp_path: Path) -> None:
    """They lead nowhere."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    await assert_never_mounted(app, tmp_path / "a", "more than 40 links")


async def test_harmless_links_are_followed_once_by_us_and_never_by_the_engine(
    app: App, docker: aiodocker.Docker, tmp_path: Path
) -> None:
    """The engine gets the path that was checked."""
    (tmp_path / "releases" / "5").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/5")
    release = await app.start("echo up; sleep 1000", **at(tmp_path / "current"))
    await app.until_output(release.name, b"up\n")
    found = await docker.containers.list(filters=f'{{"label": ["releasephase.release={release.name}"]}}')
    mounts = (await found[0].show())["HostConfig"]["Mounts"]
    await app.cancel(release.name)
    await app.outcome(release.name)
    assert [mount["Source"] for mount in mounts] == [str(tmp_path / "releases" / "5")]


@contextmanager
def bound(source: object, name: str) -> Iterator[Path]:
    """Another name for a folder of the host, which no link gives away, in a folder of its own.

    If the tests are killed it stays. So nobody can write by way of it, and it is not among the files
    of the tests, with which a later run would remove what is behind it.
    """
    folder = Path(tempfile.mkdtemp(prefix="rp-bound-", dir="/mnt"))
    target = folder / name
    target.mkdir()
    subprocess.run(["mount", "-o", "bind,ro", str(source), target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", "--lazy", target], check=True)
        # Never recursively.
        target.rmdir()
        folder.rmdir()


def test_other_names_can_t_be_written(tmp_path: Path) -> None:
    """Whatever cleans up after tests that were killed, the host stays as it is."""
    with bound(tmp_path, "alias") as alias:
        assert not alias.is_relative_to(tmp_path.parent.parent)
        with pytest.raises(OSError, match="Read-only file system"):
            (alias / "file").touch()
    assert not alias.parent.exists()


@pytest.mark.parametrize(("source", "below"), [("/etc", ""), ("/etc", "shadow"), ("/", ""), ("/", "etc/ssl")])
async def test_system_directories_under_another_name(app: App, source: str, below: str) -> None:
    """A bind mount of the host, for a chroot say."""
    with bound(source, "an \\ alias") as alias:
        await assert_never_mounted(app, alias / below, "another name")


async def test_what_is_mounted_below_the_source_is_left_out(tmp_path: Path) -> None:
    """A folder may be harmless, and what the host has mounted in it not; read-only would not hold for it."""
    if os.geteuid() != 0 or not debian.which("dockerd"):
        pytest.skip("only root can start an engine of its own, where dockerd is installed")
    (tmp_path / "passwd").touch()
    # An engine that is started later has the mount, too, in a namespace of its own.
    with bound(tmp_path, "jail") as jail, private_docker() as docker:
        docker.start(live_restore=False)
        image = docker.engine.make_image(busybox.shell_image())
        as_docker_does: dict[str, Any] = {"Image": image, "Cmd": ["ls", "/m/jail/passwd"]}
        as_docker_does["HostConfig"] = {"Binds": [f"{jail.parent}:/m"]}
        assert exit_code(docker.engine, as_docker_does) == 0
        async with serving_app(docker.url, image) as app:
            outcome = await app.run("ls -A /m/jail; echo end", **at(jail.parent))
    assert outcome.output() == b"end\n"


def exit_code(engine: Engine, config: dict[str, Any]) -> int:
    """Run a container past the daemon, and return how it ended."""
    container = engine.http.json("POST", "/containers/create", body=config)["Id"]
    try:
        engine.http.request("POST", f"/containers/{container}/start")
        return int(engine.http.json("POST", f"/containers/{container}/wait")["StatusCode"])
    finally:
        engine.http.request("DELETE", f"/containers/{container}", {"force": "1"})


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def make_device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


def make_block_device(path: Path) -> None:
    os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(7, 0))


@pytest.mark.parametrize("make", [make_fifo, make_socket, make_device, make_block_device])
async def test_sockets_devices_and_fifos(app: App, tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Behind them is another process of the host, or the kernel."""
    make(tmp_path / "x")
    await assert_never_mounted(app, tmp_path / "x", "neither a directory nor a regular file")
    (tmp_path / "link").symlink_to("x")
    await assert_never_mounted(app, tmp_path / "link", "neither a directory nor a regular file")


async def test_what_does_not_exist(app: App, tmp_path: Path) -> None:
    """It could be anything by the time it is mounted."""
    await assert_never_mounted(app, tmp_path / "none", "can't be looked at: No such file")
