"""A Debian with systemd as its first process, in a container."""

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support import debian
from support.docker_engine import Engine
from support.readiness import Readiness

BOOT_SECONDS = 60


@dataclass(frozen=True)
class Machine:
    """A booted machine; the folder, of a short path, is where it says so."""

    engine: Engine
    container: str
    folder: Path

    def run(self, command: str) -> tuple[int, str]:
        """Run a shell line to its end and return its exit code and its output, both streams in order."""
        return self.engine.run_in(self.container, f"{{ {command}\n}}")

    def check(self, command: str) -> str:
        """Run shell lines that have to succeed, each of them, and return their output."""
        status, output = self.run(f"set -e; {command}")
        assert status == 0, f"{command} ended with {status}:\n{output}{self.journal()}"
        return output

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        lines = self.check(f"systemctl show {unit} {shlex.join(f'--property={name}' for name in names)}")
        return dict(line.split("=", 1) for line in lines.splitlines())

    def configure(self, unit: str, section: str, *lines: str) -> None:
        """Add settings to a unit."""
        folder = f"/etc/systemd/system/{unit}.d"
        text = "\n".join((f"[{section}]", *lines, ""))
        self.check(f"mkdir -p {folder}; printf %s {shlex.quote(text)} >> {folder}/test.conf")
        self.check("systemctl daemon-reload")

    def notice_starts(self, unit: str) -> None:
        """From now on `await_start` tells when the unit has been started again."""
        self.configure(f"{unit}.service", "Service", "ExecStartPost=+/bin/sh -c 'echo up > /run/up'")
        self.check("mkfifo /run/up")

    def await_start(self) -> None:
        assert self.check("timeout 60 cat /run/up") == "up\n"

    def unpack(self, tar: bytes, folder: str) -> None:
        """Unpack a tar in a folder of the machine."""
        path = f"/containers/{self.container}/archive"
        headers = {"Content-Type": "application/x-tar"}
        self.engine.http.request("PUT", path, {"path": folder}, body=tar, headers=headers)

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        self.check(f"printf %s {shlex.quote(text)} > {path}")

    def journal(self) -> str:
        return self.run("journalctl --no-pager --lines=50")[1]

    def boot(self) -> None:
        """Switch it on and wait until all of its units have started."""
        http = self.engine.http
        with Readiness(self.folder) as readiness:
            http.request("POST", f"/containers/{self.container}/start")
            first_process = http.json("GET", f"/containers/{self.container}/json")["State"]["Pid"]
            if why_not := readiness.wait(first_process, BOOT_SECONDS):
                raise debian.SetupError(f"the machine with systemd {why_not}:\n{self.journal()}")

    def shut_down(self) -> None:
        """Switch it off in order, as `poweroff` does: what it had in memory is gone."""
        self.engine.http.request("POST", f"/containers/{self.container}/stop", {"t": str(BOOT_SECONDS)})


@contextmanager
def booted(engine: Engine, image: str, folder: Path, binds: Sequence[str] = ()) -> Iterator[Machine]:
    """Boot a machine that reaches the engine at /engine.sock, and has these folders, too."""
    http = engine.http
    config = _configuration(engine, folder, binds)
    container = http.json("POST", "/containers/create", body={**config, "Image": image})["Id"]
    try:
        machine = Machine(engine, container, folder)
        machine.boot()
        yield machine
    finally:
        http.request("DELETE", f"/containers/{container}", {"force": "1", "v": "1"})


def _configuration(engine: Engine, folder: Path, binds: Sequence[str]) -> dict[str, object]:
    scheme, _, socket = engine.url.partition("://")
    if scheme != "unix":
        raise debian.SetupError(
            "this test hands the engine's socket to a container: DOCKER_HOST must be unix://"
        )
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
                *binds,
            ],
        },
    }
