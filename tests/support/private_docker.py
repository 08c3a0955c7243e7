"""A Docker engine that a test may kill, stop and start again, on the same data and the same socket.

It lives in a PID, network and mount namespace of its own, and so do the containers, which may outlive it
(`--live-restore`). The namespaces outlive it, too; they go with their first process, which the kernel ends
when ours ends, in whatever way. Then all of it has gone: dockerd, containerd, shims, containers, mounts.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support import debian
from support.docker_engine import Engine
from support.readiness import Readiness

START_SECONDS = 60
STOP_SECONDS = 60

# The first process in the namespaces: runs dockerd once for each line that it reads, with the options on
# that line, and reports its exit code. Containerd makes its sockets in /run/containerd whatever it is told.
# All that dockerd starts has our pipe open, as 3: its end tells that all of it has gone.
_FIRST = """
log=$1; shift
ip link set lo up && mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd || exit
while read -r options; do dockerd "$@" $options 3>&1 >>"$log" 2>&1; echo $?; done
"""

PATH = {"PATH": f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"}
"""Where dockerd and what it needs are found, also by those whose own path lacks them."""


def dockerd_options(data: Path, runtime: Path) -> list[str]:
    """The options of an engine whose images are in `data` and whose socket and the like in `runtime`."""
    # /etc/docker/daemon.json is for the machine's engine; ours has the defaults.
    config = runtime / "daemon.json"
    config.write_text("{}")
    return [
        *("--data-root", str(data), "--exec-root", str(runtime / "exec"), "--pidfile", str(runtime / "pid")),
        *("--host", f"unix://{runtime}/docker.sock", "--config-file", str(config)),
        *("--group", str(os.getegid())),
    ]


class PrivateDocker:
    """An engine on the data in a folder, not started yet; `url` stays the same over restarts."""

    def __init__(self, folder: Path, runtime: Path, environment: Mapping[str, str]) -> None:
        self.url = f"unix://{runtime}/docker.sock"
        self.log = folder / "dockerd.log"
        self._runtime = runtime
        self._cgroup = runtime.name
        self._process: int | None = None  # a pidfd, as long as it runs
        self._first = subprocess.Popen(
            [
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--net"),
                *("--mount", "--propagation", "slave", "--", "sh", "-c", _FIRST, "sh", str(self.log)),
                *dockerd_options(folder / "data", runtime),
                # The one thing outside of the namespaces, under a name by which it is found again.
                *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{self._cgroup}"),
            ],
            env={**os.environ, **PATH, "NOTIFY_SOCKET": f"{runtime}/notify", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    @property
    def engine(self) -> Engine:
        """A client of it; it has to run."""
        return Engine.at(self.url)

    def start(self, *, live_restore: bool) -> None:
        """Start it, and return when it answers. `live_restore`: containers outlive it from now on."""
        assert self._process is None, "it runs"
        with Readiness(self._runtime) as ready:
            self._tell(f"--live-restore={str(live_restore).lower()}")
            why_not = ready.wait_unless(self._report, START_SECONDS)
        if why_not:
            last = "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
            raise debian.SetupError(f"the private Docker engine {why_not}. Its log ends with:\n{last}")
        self._process = os.pidfd_open(self._listener())

    def terminate(self) -> int:
        """End it in order, which without live-restore ends its containers; return its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Let it hang: from when this returns it accepts connections and answers nothing."""
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_SECONDS
        # Each thread stops by itself, the next time it enters or leaves the kernel: until then it may answer.
        while not all(state == "T" for state in self._thread_states()):
            assert time.monotonic() < deadline, f"dockerd's threads did not stop within {STOP_SECONDS} s"
            time.sleep(0.001)

    def go_on(self) -> None:
        """Let it go on after `stop`."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End everything, hung or not. Its data stays."""
        self._first.kill()
        self._first.communicate(timeout=STOP_SECONDS)
        self._forget()
        _remove_cgroups(self._cgroup)

    @property
    def _report(self) -> int:
        """What can be read from once dockerd has ended: its exit code as a line."""
        assert self._first.stdout is not None
        return self._first.stdout.fileno()

    def _tell(self, options: str) -> None:
        assert self._first.stdin is not None
        self._first.stdin.write(f"{options}\n".encode())
        self._first.stdin.flush()

    def _listener(self) -> int:
        """The process that listens on the socket, as we see it from outside of its PID namespace."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.connect(self.url.removeprefix("unix://"))
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        pid: int = struct.unpack("3i", credentials)[0]
        return pid

    def _thread_states(self) -> Iterator[str]:
        """What each of dockerd's threads does at the moment, as proc(5) abbreviates it."""
        assert self._process is not None, "it does not run"
        about = Path(f"/proc/self/fdinfo/{self._process}").read_text()
        pid = next(line.split()[1] for line in about.splitlines() if line.startswith("Pid:"))
        for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
            yield stat.read_text().rpartition(")")[2].split()[0]

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it does not run"
        signal.pidfd_send_signal(self._process, number)

    def _end(self, number: signal.Signals) -> int:
        self._signal(number)
        ended, _, _ = select.select([self._report], [], [], STOP_SECONDS)
        assert ended, f"dockerd did not end within {STOP_SECONDS} s of {number.name}; its log is {self.log}"
        self._forget()
        return int(os.read(self._report, 16))

    def _forget(self) -> None:
        if self._process is not None:
            os.close(self._process)
            self._process = None


def _remove_cgroups(name: str) -> None:
    """Remove the empty groups of containers that were killed, under cgroups v2 and v1."""
    root = Path("/sys/fs/cgroup")
    for group in (*root.glob(name), *root.glob(f"*/{name}")):
        for folder, _, _ in os.walk(group, topdown=False):
            _remove_group(Path(folder))


def _remove_group(group: Path) -> None:
    """A group can be removed once its processes have gone, which the kernel does in its own time."""
    deadline = time.monotonic() + STOP_SECONDS
    while True:
        try:
            return group.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def private_docker(environment: Mapping[str, str] | None = None) -> Iterator[PrivateDocker]:
    """An engine of the caller's own with these variables, on an empty data folder; the caller starts it."""
    debian.BUILD.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="docker-", dir=debian.BUILD) as folder,
        # A short path: a unix socket's may have 107 characters.
        tempfile.TemporaryDirectory(prefix="rp-docker-", dir="/tmp") as runtime,
    ):
        docker = PrivateDocker(Path(folder), Path(runtime), environment or {})
        try:
            yield docker
        finally:
            docker.close()
