"""A Debian with systemd as its first process, in a container, with the product installed in it."""

import shlex
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support import debian
from support.docker_engine import Engine
from support.readiness import Readiness
from support.rootfs import debian_image

ROOT = Path(__file__).resolve().parents[2]
BOOT_SECONDS = 60

# python3 for the libraries that any Python of this machine needs, too.
PACKAGES = ("python3", "systemd")

# Starting is done when somebody has read from /run/up, if it is there.
_PREPARATION = """
ln -s /opt/releasephase/bin/released /opt/releasephase/bin/releasectl /usr/local/bin/
cp /opt/systemd/released.service /etc/systemd/system/
mkdir -p /etc/released /etc/systemd/system/released.service.d
cd /etc/systemd/system/released.service.d
printf '[engine]\\nurl = "unix:///engine.sock"\\n' > /etc/released/config.toml
printf '[Service]\\nEnvironment=PYTHONPATH=/opt/releasephase\\n' > test.conf
printf "ExecStartPost=/bin/sh -c '[ ! -p /run/up ] || echo up > /run/up'\\n" >> test.conf
systemctl daemon-reload
"""


@dataclass(frozen=True)
class Host:
    """A booted machine."""

    engine: Engine
    container: str

    def run(self, command: str) -> tuple[int, str]:
        """Run a shell line to its end and return its exit code and its output, both streams in order."""
        return self.engine.run_in(self.container, command)

    def check(self, command: str) -> str:
        """Run a shell line that has to succeed, and return its output."""
        status, output = self.run(command)
        assert status == 0, f"{command} ended with {status}:\n{output}{self.journal()}"
        return output

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        lines = self.check(f"systemctl show {unit} {shlex.join(f'--property={name}' for name in names)}")
        return dict(line.split("=", 1) for line in lines.splitlines())

    def releasectl(self, arguments: str) -> str:
        """Run the installed command line, which has to succeed, and return its output."""
        return self.check(f"PYTHONPATH=/opt/releasephase releasectl {arguments}")

    def journal(self) -> str:
        return self.run("journalctl --no-pager --lines=50")[1]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The distribution as its wheel installs it."""
    target = tmp_path_factory.mktemp("wheel") / "installed"
    install_wheel(target)
    return target


@pytest.fixture
def host(engine: Engine, installed: Path) -> Iterator[Host]:
    """A machine on which the unit is installed and the engine is the test's."""
    with (
        tempfile.TemporaryDirectory(prefix="rp-systemd-", dir="/tmp") as folder,
        booted(engine, installed, Path(folder)) as host,
    ):
        host.check(_PREPARATION.strip().replace("\n", " && "))
        yield host


@contextmanager
def booted(engine: Engine, installed: Path, folder: Path) -> Iterator[Host]:
    """Boot a machine that has `installed` as /opt/releasephase and reaches the engine at /engine.sock.

    The folder is for the notice of the boot's end, and has to have a short path.
    """
    http = engine.http
    with Readiness(folder) as readiness:
        config = _configuration(engine, installed, folder)
        config["Image"] = debian_image(engine, "debian-systemd", PACKAGES)
        container = http.json("POST", "/containers/create", body=config)["Id"]
        try:
            http.request("POST", f"/containers/{container}/start")
            first_process = http.json("GET", f"/containers/{container}/json")["State"]["Pid"]
            host = Host(engine, container)
            if why_not := readiness.wait(first_process, BOOT_SECONDS):
                raise debian.SetupError(f"the machine with systemd {why_not}:\n{host.journal()}")
            yield host
        finally:
            http.request("DELETE", f"/containers/{container}", {"force": "1", "v": "1"})


def install_wheel(target: Path) -> None:
    """Build the distribution and install it, without what it depends on, as `pip install` does."""
    wheels = target.parent / "wheels"
    _python("-m", "hatchling", "build", "--target", "wheel", "--directory", str(wheels))
    (wheel,) = wheels.glob("*.whl")
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-compile")
    _python("-m", "pip", "install", *options, "--target", str(target), str(wheel))


def _python(*arguments: str) -> None:
    debian.run([sys.executable, *arguments], cwd=ROOT)


def _configuration(engine: Engine, installed: Path, folder: Path) -> dict[str, object]:
    scheme, _, socket = engine.url.partition("://")
    if scheme != "unix":
        raise debian.SetupError(
            "this test hands the engine's socket to a container: DOCKER_HOST must be unix://"
        )
    # Python and the dependencies, where the installed programs' first line looks for them.
    environments = {sys.prefix, sys.base_prefix} - {"/usr"}
    read_only = [f"{path}:{path}:ro" for path in sorted(environments)]
    return {
        "Cmd": ["/lib/systemd/systemd"],
        "Env": ["container=docker", "NOTIFY_SOCKET=/notify/notify"],
        "StopSignal": "SIGRTMIN+3",
        "HostConfig": {
            # What systemd needs as the first process of a container that is not privileged.
            "CapAdd": ["SYS_ADMIN"],
            "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"],
            "CgroupnsMode": "host",
            "Tmpfs": {"/run": "exec", "/tmp": ""},
            "NetworkMode": "none",
            "Binds": [
                "/sys/fs/cgroup:/sys/fs/cgroup:rw",
                f"{folder}:/notify:ro",
                f"{socket}:/engine.sock",
                f"{installed}:/opt/releasephase:ro",
                f"{ROOT / 'systemd'}:/opt/systemd:ro",
                *read_only,
            ],
        },
    }
