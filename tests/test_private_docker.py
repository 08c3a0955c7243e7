"""The engine that tests kill and restart: what outlives it, and that nothing outlives its block."""

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import busybox, debian
from support.docker_engine import Engine
from support.engine_http import EngineHTTP
from support.private_docker import PrivateDocker, private_docker

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not debian.which("dockerd"),
    reason="only root can start an engine of its own, where dockerd is installed",
)


@pytest.fixture
def dockerd() -> Iterator[PrivateDocker]:
    with private_docker() as docker:
        yield docker


def running_container(engine: Engine) -> str:
    """Start a container that counts, and return its id."""
    image = engine.make_image(busybox.shell_image())
    line = "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done"
    config = {"Image": image, "Cmd": ["sh", "-c", line], "HostConfig": {"Init": True}}
    container: str = engine.http.json("POST", "/containers/create", body=config)["Id"]
    engine.http.request("POST", f"/containers/{container}/start")
    return container


def is_running(docker: PrivateDocker, container: str) -> bool:
    return bool(docker.engine.http.json("GET", f"/containers/{container}/json")["State"]["Running"])


@pytest.mark.parametrize("live_restore", [True, False])
def test_what_becomes_of_containers_when_it_restarts(dockerd: PrivateDocker, live_restore: bool) -> None:
    """With live-restore they run on, after its end and after its death; without, they end with it."""
    dockerd.start(live_restore=live_restore)
    container = running_container(dockerd.engine)
    dockerd.kill()
    dockerd.start(live_restore=live_restore)
    assert is_running(dockerd, container) is live_restore
    assert dockerd.terminate() == 0
    dockerd.start(live_restore=live_restore)
    assert is_running(dockerd, container) is live_restore


def test_it_hangs_and_goes_on(dockerd: PrivateDocker) -> None:
    """Stopped, it takes connections and answers nothing; then it goes on as if nothing had been."""
    dockerd.start(live_restore=True)
    dockerd.stop()
    with pytest.raises(TimeoutError):
        EngineHTTP(dockerd.url, timeout=0.5).ping()
    dockerd.go_on()
    dockerd.engine.http.ping()


def test_nothing_outlives_its_block() -> None:
    """No process, whether it runs, hangs or has been killed with a container left over, and no cgroup."""
    with private_docker() as docker:
        name = Path(docker.url.removeprefix("unix://")).parent.name
        docker.start(live_restore=True)
        running_container(docker.engine)
        docker.kill()
        docker.start(live_restore=True)
        docker.stop()
        left = [os.pidfd_open(pid) for pid in processes_of(name)]
        assert cgroups_of(name)
    assert len(left) >= 3, "dockerd, containerd, a shim"
    ended, _, _ = select.select(left, [], [], 0)
    assert len(ended) == len(left)
    assert not cgroups_of(name)
    for process in left:
        os.close(process)


def processes_of(name: str) -> list[int]:
    """Those that have this name in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if name.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue  # it has ended
    return found


def cgroups_of(name: str) -> list[Path]:
    """The engine's own groups, under cgroups v2 and v1."""
    root = Path("/sys/fs/cgroup")
    return [*root.glob(name), *root.glob(f"*/{name}")]
