"""What a command can't do in its container, on a real engine: the kernel says so."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import aiodocker
import pytest

from released.config import PolicyTable
from support import busybox, debian
from support.app import STDOUT, App, Serve
from support.docker_engine import Engine
from support.faulty_engine import faulty_engine
from support.refusals import assert_failed, refusal

CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7}
"""Their numbers, capability.h."""
KEPT = f"{sum(1 << number for number in CAPABILITIES.values()):016x}"
NONE = "0" * 16

STATUS = "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status"


def as_fields(output: bytes) -> dict[str, str]:
    return dict(line.split(":\t") for line in output.decode().splitlines())


async def test_root_has_seven_capabilities_and_can_get_no_others(app: App) -> None:
    """The engine's seccomp profile is on, and no program can raise its privileges."""
    fields = as_fields((await app.run(STATUS, user="root")).output())
    assert (fields["CapEff"], fields["CapBnd"], fields["CapPrm"]) == (KEPT, KEPT, KEPT)
    assert (fields["NoNewPrivs"], fields["Seccomp"], fields["CapAmb"]) == ("1", "2", NONE)


@pytest.mark.parametrize("mode", ["CONTAINER_MODE_PER_RELEASE", "CONTAINER_MODE_PER_COMMAND"])
async def test_another_user_has_no_capabilities(app: App, mode: str) -> None:
    """In either mode."""
    fields = as_fields((await app.run(STATUS, user="app", container_mode=mode)).output())
    assert (fields["CapEff"], fields["CapPrm"], fields["NoNewPrivs"]) == (NONE, NONE, "1")
    assert fields["CapBnd"] == KEPT


@pytest.mark.parametrize(
    "line",
    [
        "mkdir /m && mount -t tmpfs tmpfs /m",
        "mount -o remount,rw /proc/sys",
        "mount -o bind / /tmp",
        "umount /proc/sys",
        "unshare -m true",
        "unshare -U true",
        "nsenter -t 1 -n true",
        "mknod /tmp/disk b 8 0",
        "mknod /tmp/mem c 1 1",
        "chroot / true",
        "hostname evil",
        "date -s 2000-01-01 && [ $(date +%Y) = 2000 ]",
        "ip link add dummy0 type dummy",
        "ip link set lo down",
        "echo 1 > /proc/sys/kernel/sysrq",
        "echo b > /proc/sysrq-trigger",
        "echo '|/tmp/x' > /proc/sys/kernel/core_pattern",
        "echo 1 > /sys/kernel/mm/ksm/run",
        "cd /sys/fs/cgroup; [ ! -d memory ] || cd memory; mkdir x",
        "nice -n -5 true",
        "cat /proc/kcore",
        "dmesg | grep -q .",
        "swapoff -a",
        "insmod /bin/busybox",
        "head -c 1 /dev/mem",
        "head -c 1 /dev/sda || head -c 1 /dev/vda || head -c 1 /dev/kmsg",
    ],
)
async def test_what_not_even_root_can_do(app: App, line: str) -> None:
    """Each of these is a step out of a container, or into what others share."""
    outcome = await app.run(f"if {{ {line}; }} >/dev/null; then echo escaped; else echo held; fi", user="0")
    assert outcome.output(0, STDOUT) == b"held\n", outcome.output()


@pytest.mark.parametrize("namespace", ["pid", "ipc", "uts", "net", "mnt", "cgroup"])
async def test_namespaces_are_the_container_s_own(app: App, namespace: str) -> None:
    """None is shared with the host."""
    outcome = await app.run(f"readlink /proc/self/ns/{namespace}")
    assert outcome.output().decode().startswith(f"{namespace}:[")
    assert outcome.output().decode().strip() != str(Path(f"/proc/self/ns/{namespace}").readlink())


async def test_devices_are_the_usual_ones(app: App) -> None:
    """None of the host's."""
    devices = set((await app.run("ls /dev")).output().decode().split())
    assert devices <= {
        *("console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm"),
        *("stderr", "stdin", "stdout", "tty", "urandom", "zero"),
    }


LIMITS = """
    cd /sys/fs/cgroup
    if [ -e memory.max ]; then cat memory.max pids.max memory.swap.max; exit; fi
    cat memory/memory.limit_in_bytes pids/pids.max
    swap=memory/memory.memsw.limit_in_bytes
    [ ! -e $swap ] || echo $(($(cat $swap) - $(cat memory/memory.limit_in_bytes)))
    [ -e $swap ] || echo 0
"""
"""Memory, pids, and swap on top of the memory, by either version of cgroups; a kernel may not count swap."""


async def test_limits_of_a_release_that_asks_for_none(app: App, docker: aiodocker.Docker) -> None:
    """Three quarters of the host's memory, no swap, 4096 processes."""
    outcome = await app.run(LIMITS)
    memory, pids, swap = (int(line) for line in outcome.output().split())
    host = (await docker.system.info())["MemTotal"]
    assert 0 <= host * 3 // 4 - memory < 4096  # the kernel counts in pages
    assert (pids, swap) == (4096, 0)
    assert outcome.release.resources.memory_bytes == host * 3 // 4
    assert outcome.release.resources.pids == 4096


async def test_limits_of_the_operator(serve: Serve) -> None:
    """The defaults where a release asks for nothing, what it asks for otherwise; its record says which."""
    limits = PolicyTable(max_memory=256 << 20, default_memory=64 << 20, default_pids=50, default_cpus=0.5)
    async with serve(policy=limits) as app:
        default = await app.run(LIMITS)
        asked = await app.run(LIMITS, resources={"memory_bytes": 128 << 20, "pids": 60, "cpus": 1.0})
    assert default.output().split() == [b"%d" % (64 << 20), b"50", b"0"]
    assert asked.output().split() == [b"%d" % (128 << 20), b"60", b"0"]
    given = [outcome.release.resources for outcome in (default, asked)]
    assert [(each.memory_bytes, each.cpus, each.pids) for each in given] == [
        (64 << 20, 0.5, 50),
        (128 << 20, 1.0, 60),
    ]


@pytest.fixture(scope="session")
def gosu_image(engine: Engine) -> str:
    """The tiny image with gosu as its entrypoint: commands run as app, the container as root."""
    gosu = next(debian.unpacked("gosu").glob("usr/*bin/gosu"))
    layer = busybox.Layer(busybox.shell_image())
    layer.file("bin/gosu", gosu.read_bytes(), 0o755)
    return engine.make_image(layer.tar(), ['ENTRYPOINT ["/bin/gosu", "app"]'], name="gosu")


async def test_entrypoints_can_become_another_user(serve: Serve, gosu_image: str) -> None:
    """As many images do; commands are that user, and are stopped as gently as any."""
    async with serve(stop_grace=5.0) as app:
        outcome = await app.run(f"id -u; {STATUS}; sleep 1000", image=gosu_image, timeout=2)
    uid, *status = outcome.output().decode().splitlines()
    assert (uid, as_fields("\n".join(status).encode())["CapEff"]) == ("1000", NONE)
    assert (outcome.cause, outcome.release.command_runs[0].signal) == ("COMMAND_TIMED_OUT", 15)


async def test_processes_of_other_users_are_told_to_stop(serve: Serve) -> None:
    """A command of root that becomes another user: SIGTERM reaches it all the same."""
    line = """su app -s /bin/sh -c 'trap "echo told; exit 3" TERM; id -u; while :; do sleep 0.05; done'"""
    async with serve(stop_grace=30.0) as app:
        outcome = await app.run(line, timeout=2)
    assert (outcome.cause, outcome.output(0, STDOUT)) == ("COMMAND_TIMED_OUT", b"1000\ntold\n")


async def test_root_can_do_what_release_commands_do(app: App) -> None:
    """Own, write and mark an application's files."""
    line = """
        touch /tmp/f && chown app:app /tmp/f && chmod 4755 /tmp/f && echo data >> /tmp/f
        mkdir -m 700 /tmp/d && chown app /tmp/d && touch /tmp/d/f && stat -c '%u %a' /tmp/f /tmp/d
    """
    assert (await app.run(line)).output() == b"1000 4755\n1000 700\n"


@pytest.fixture(scope="session")
def images_with_users(make_busybox_image: Callable[..., str]) -> dict[str, str]:
    """Images by their own user; empty: none."""
    return {
        user: make_busybox_image(f"USER {user}")
        for user in ("root", "0", "app", "1000", "1000:0", "1000:1000")
    }


@pytest.mark.parametrize("user", ["", "root", "0", "app", "1000", "1000:0"])
async def test_image_whose_own_user_can_be_root(
    serve: Serve, images_with_users: dict[str, str], busybox_image: str, user: str
) -> None:
    """No user is root, a name can be, and the group can be root's, also where none is named."""
    async with serve(policy=PolicyTable(root_allowed=False)) as app:
        outcome = await app.run("echo escaped", image=images_with_users.get(user, busybox_image))
    assert (outcome.state, outcome.cause, outcome.output()) == ("FAILED", "CONTAINER_FAILED", b"")
    assert re.search("can be (in )?root", outcome.message)


async def test_image_whose_own_user_is_not_root(serve: Serve, images_with_users: dict[str, str]) -> None:
    """Numbers other than 0."""
    async with serve(policy=PolicyTable(root_allowed=False)) as app:
        assert (await app.run("id -u", image=images_with_users["1000:1000"])).output() == b"1000\n"


async def test_number_is_a_number_whatever_the_image_calls_root(serve: Serve, engine: Engine) -> None:
    """A user of the image may be called 1000 and have the number 0."""
    layer = busybox.Layer(busybox.shell_image(), without={"etc/passwd"})
    layer.file("etc/passwd", b"1000:x:0:0:root:/root:/bin/sh\n1001:x:1000:0::/:/bin/sh\n")
    image = engine.make_image(layer.tar(), name="misnomer")
    async with serve(policy=PolicyTable(root_allowed=False)) as app:
        assert (await app.run("id -u", image=image, user="1000:1000")).output() == b"1000\n"


async def test_image_gives_no_groups_where_root_is_not_allowed(serve: Serve, engine: Engine) -> None:
    """A user without a group gets those that the image says; with a gid, only that one."""
    layer = busybox.Layer(busybox.shell_image(), without={"etc/passwd", "etc/group"})
    layer.file("etc/passwd", b"app:x:1000:998::/:/bin/sh\n")
    layer.file("etc/group", b"root:x:0:app\ndocker:x:997:app\n")
    image = engine.make_image(layer.tar(), name="grouped")
    async with serve() as app:
        assert (await app.run("id -G", image=image, user="1000")).output() == b"998 0 997\n"
    async with serve(policy=PolicyTable(root_allowed=False)) as app:
        assert set(await refusal(app, image=image, user="1000")) == {"user"}
        assert (await app.run("id -G", image=image, user="1000:1000")).output() == b"1000\n"


@pytest.mark.parametrize("root_allowed", [False, True])
async def test_numbers_that_give_the_engine_s_socket(
    serve: Serve,
    engine: Engine,
    make_busybox_image: Callable[..., str],
    tmp_path: Path,
    root_allowed: bool,
) -> None:
    """A command could leave a program with that group's rights on the host, whoever names the group."""
    uid, gid = 54325, 54326
    image = make_busybox_image(f"USER 1000:{gid}")
    policy = PolicyTable(root_allowed=root_allowed)
    async with (
        faulty_engine(tmp_path, engine.url) as relay,
        serve(engine={"url": relay.url}, policy=policy) as app,
    ):
        os.chown(tmp_path / "faulty.sock", uid, gid)
        for user in (f"1000:{gid}", f"{uid}:1000", f"1000:0{gid}"):
            why = await refusal(app, user=user)
            assert set(why) == {"user"}
            assert "gives the engine's socket" in why["user"]
        assert_failed(await app.run("echo escaped", image=image), f"the gid {gid} is the release daemon's")
        assert (await app.run("id -g", image=image, user="1000:1000")).output() == b"1000\n"
