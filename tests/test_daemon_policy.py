"""Attempts to get at the host through the daemon, on a real engine: what is refused whatever the policy says.

The daemon's policy here allows any mount anywhere, to be written. See `test_daemon_policy_rules` for what an
operator's policy refuses.
"""

import os
import socket
import sqlite3
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiodocker
import grpc
import pytest

from releasephase.v1.release_pb2 import Mount
from releasephase.v1.release_service_pb2 import StartReleaseRequest, WatchReleaseRequest
from support import busybox, debian
from support.app import App, Outcome, release_request, serving_app
from support.daemon import running_daemon
from support.docker_engine import Engine
from support.private_docker import private_docker
from support.process import DaemonProcess
from support.rpc_errors import details_of, refused

DENIED, INVALID = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT


def at(source: object, target: str = "/m", read_only: bool = True) -> dict[str, Any]:
    """The fields of a request with one mount."""
    return {"mounts": [{"source": str(source), "target": target, "read_only": read_only}]}


async def refusal(app: App, code: grpc.StatusCode = DENIED, **fields: Any) -> dict[str, str]:
    """Why a request is refused, by the field. Nothing of it is stored, and none of it runs."""
    error = await refused(app.start("echo escaped", **fields))
    info, bad = details_of(error)
    assert error.code() is code, error.details()
    assert info.reason == ("POLICY_VIOLATION" if code is DENIED else "INVALID_REQUEST")
    with sqlite3.connect(f"file:{app.config.audit.path}?mode=ro", uri=True) as database:
        assert database.execute("SELECT count(*) FROM events").fetchall() == [(0,)]
    database.close()
    return {violation.field: violation.description for violation in bad.field_violations}


async def assert_never_mounted(app: App, source: object, words: str = "") -> None:
    why = await refusal(app, **at(source))
    assert set(why) == {"mounts[0]"}
    assert words in why["mounts[0]"]


def assert_failed(outcome: Outcome, words: str) -> None:
    assert (outcome.state, outcome.cause) == ("FAILED", "CONTAINER_FAILED")
    assert words in outcome.message
    assert outcome.output() == b""
    assert "container_created" not in outcome.kinds


@pytest.mark.parametrize(
    "source",
    [
        *("/", "//", "/.", "/./", "///"),
        *("/etc", "/etc/", "/etc/.", "//etc", "/./etc", "/etc/shadow", "/etc/released/config.toml"),
        *(
            "/usr",
            "/usr/local/bin",
            "/bin",
            "/bin/sh",
            "/sbin",
            "/lib",
            "/lib64",
            "/boot",
            "/root",
            "/root/.ssh",
        ),
        *("/dev", "/dev/null", "/dev/shm", "/dev/mem", "/sys", "/sys/fs/cgroup", "/sys/kernel/security"),
        *(
            "/proc",
            "/proc/self/root",
            "/proc/1/root/srv",
            "/proc/self/cwd",
            "/proc/self/fd/0",
            "/proc/sys/kernel",
        ),
        *("/run", "/run/docker.sock", "/run/containerd/containerd.sock", "/var/run", "/var/run/docker.sock"),
        *(
            "/var",
            "/var/",
            "/var/lib",
            "/var/lib/docker",
            "/var/lib/docker/volumes/x",
            "/var/lib/containerd",
        ),
        *("/var/lib/released", "/var/lib/released/audit.db.key", "/var/spool/cron", "/var/spool"),
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
def bound(source: str, target: Path) -> Iterator[Path]:
    """Another name for a folder of the host, which no link gives away."""
    target.mkdir()
    subprocess.run(["mount", "--bind", source, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", target], check=True)


@pytest.mark.parametrize(("source", "below"), [("/etc", ""), ("/etc", "shadow"), ("/", ""), ("/", "etc/ssl")])
async def test_system_directories_under_another_name(
    app: App, tmp_path: Path, source: str, below: str
) -> None:
    """A bind mount of the host, for a chroot say."""
    with bound(source, tmp_path / "an \\ alias") as alias:
        await assert_never_mounted(app, alias / below, "another name")


async def test_what_is_mounted_below_the_source_is_left_out(tmp_path: Path) -> None:
    """A folder may be harmless, and what the host has mounted in it not; read-only would not hold for it."""
    if os.geteuid() != 0 or not debian.which("dockerd"):
        pytest.skip("only root can start an engine of its own, where dockerd is installed")
    # An engine that is started later has the mount, too, in a namespace of its own.
    with bound("/etc", tmp_path / "jail"), private_docker() as docker:
        docker.start(live_restore=False)
        image = docker.engine.make_image(busybox.shell_image())
        as_docker_does: dict[str, Any] = {"Image": image, "Cmd": ["ls", "/m/jail/passwd"]}
        as_docker_does["HostConfig"] = {"Binds": [f"{tmp_path}:/m"]}
        assert exit_code(docker.engine, as_docker_does) == 0
        async with serving_app(docker.url, image) as app:
            outcome = await app.run("ls -A /m/jail; echo end", **at(tmp_path))
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


def test_source_inside_of_what_an_adopted_release_may_write(
    engine: Engine, busybox_image: str, tmp_path: Path
) -> None:
    """The daemon may have been started again meanwhile."""
    (tmp_path / "inner").mkdir()
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder,
        DaemonProcess(Path(folder), engine.url) as daemon,
    ):
        line = "echo up; until [ -e /m/open ]; do sleep 0.05; done"
        outer, inner = at(tmp_path, read_only=False), at(tmp_path / "inner")
        first = daemon.stub.StartRelease(release_request(line, image=busybox_image, **outer))
        daemon.until_output(first.name, b"up\n")
        daemon.kill()
        daemon.start()
        watch = daemon.stub.WatchRelease(WatchReleaseRequest(name=first.name))
        next(event for event in watch if event.HasField("release_adopted"))
        watch.cancel()
        request = release_request("echo escaped", image=busybox_image, environment="test", **inner)
        assert_failed(daemon.outcome(daemon.stub.StartRelease(request).name), "lie in each other")
        (tmp_path / "open").touch()
        assert daemon.outcome(first.name).state == "SUCCEEDED"


VolumeOptions = dict[str, str]


@asynccontextmanager
async def a_volume(docker: aiodocker.Docker, options: VolumeOptions) -> AsyncIterator[str]:
    name = "rp-test-policy"
    volume = {"Name": name, "Driver": "local", "DriverOpts": options}
    await docker._query_json("volumes/create", method="POST", data=volume)
    try:
        yield name
    finally:
        await docker._query_json(f"volumes/{name}", method="DELETE")


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
    second = await app.start("echo escaped", **at("rp-test-policy"))
    async with a_volume(docker, bind("/etc")):
        (tmp_path / "open").touch()
        await app.outcome(first.name)
        assert_failed(await app.outcome(second.name), "belongs to the system")


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


@pytest.mark.parametrize("path", ["/proc/self/fd/8", "/proc/self/fd/7/", "//proc/1/root", "/proc", "/dev"])
async def test_working_directories_that_are_the_kernel_s(app: App, path: str) -> None:
    """The one that runc had left open led to the host, CVE-2024-21626."""
    assert set(await refusal(app, working_dir=path)) == {"working_dir"}


async def test_the_host_s_network(app: App) -> None:
    """By its name."""
    assert set(await refusal(app, networks=["bridge", "host"])) == {"networks[1]"}


@pytest.mark.parametrize(
    "network",
    [
        *(
            "container:abc",
            "container:",
            "ns:/proc/1/ns/net",
            "host ",
            " host",
            "HOST\n",
            "host\0",
            "host,bridge",
        ),
        *("name=host", "host,bridge", "bridge;host", "/proc/1/ns/net", "../host", "", "-host"),
    ],
)
async def test_networks_that_are_no_names(app: App, network: str) -> None:
    """The engine takes more than names: other containers, namespaces, options."""
    assert set(await refusal(app, INVALID, networks=[network])) == {"networks[0]"}


@pytest.mark.parametrize("length", [64, 12])
@pytest.mark.parametrize("first", [True, False])
async def test_networks_by_their_ids(app: App, docker: aiodocker.Docker, length: int, first: bool) -> None:
    """The engine takes an id, or its head, for a name: the policy is about names."""
    for name, words in (("host", "the host's own network"), ("none", "is the id of the network none")):
        network_id = (await docker._query_json(f"networks/{name}"))["Id"][:length]
        networks = [network_id] if first else ["bridge", network_id]
        assert_failed(await app.run("echo escaped", networks=networks), words)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"user": "root\n"}, "user"),
        ({"user": "0:0:0"}, "user"),
        ({"user": "0 --privileged"}, "user"),
        ({"user": "-1"}, "user"),
        ({"env": [{"name": "A=B", "value": "c"}]}, "env[0].name"),
        ({"env": [{"name": "A\nLD_PRELOAD", "value": "c"}]}, "env[0].name"),
        ({"env": [{"name": "", "value": "LD_PRELOAD=x"}]}, "env[0].name"),
        ({"env": [{"name": "A", "value": "b\0LD_PRELOAD=x"}]}, "env[0].value"),
        ({"env": [{"name": "RELEASEPHASE_TARGET", "value": "bank/live"}]}, "env[0].name"),
        ({"labels": {"a\nb": "c"}}, "labels"),
        ({"labels": {"a": "b\nc"}}, "labels"),
        ({"working_dir": "/srv/../proc"}, "working_dir"),
        ({"entrypoint": {"arguments": ["", "sh"]}}, "entrypoint.arguments[0]"),
        ({"image": "shop --privileged"}, "image"),
        ({"image": "shop\nFROM x"}, "image"),
        ({"mounts": [{"source": "a,b=c", "target": "/x"}]}, "mounts[0].source"),
        ({"mounts": [{"source": "/srv:/etc", "target": "/x"}]}, "mounts[0]"),
    ],
    ids=str,
)
async def test_options_smuggled_into_other_fields(app: App, fields: dict[str, Any], field: str) -> None:
    """Every field is one value, in its form."""
    error = await refused(app.start("echo escaped", **fields))
    assert [violation.field for violation in details_of(error)[1].field_violations] == [field]


async def test_value_of_several_lines_is_one_variable(app: App) -> None:
    """A line break starts no other one."""
    value = "a\nLD_PRELOAD=/tmp/evil.so\nRELEASEPHASE_TARGET=bank/live"
    outcome = await app.run('echo "[$LD_PRELOAD] $RELEASEPHASE_TARGET"', env=[{"name": "A", "value": value}])
    assert outcome.output() == b"[] shop/live\n"


def test_contract_has_no_other_options() -> None:
    """A field that is added to the request must be thought about here: which of them reach the engine?"""
    fields = {field.name for field in StartReleaseRequest.DESCRIPTOR.fields}
    assert fields == {
        *(
            "application",
            "environment",
            "image",
            "commands",
            "env",
            "networks",
            "mounts",
            "resources",
            "user",
        ),
        *("working_dir", "entrypoint", "pull_policy", "registry_auth", "release_timeout", "on_busy"),
        *("request_id", "requested_by", "labels", "validate_only", "container_mode"),
    }
    assert {field.name for field in Mount.DESCRIPTOR.fields} == {"source", "target", "read_only"}
