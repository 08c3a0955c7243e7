"""A Docker engine of our own for the length of a `with` block, on a machine that has dockerd installed.

Its images stay in the build folder, so that the next run finds them. Everything else goes with it: it lives
in a network and a mount namespace of its own, so its bridges, firewall rules and mounts end with it, it needs
nothing of the machine's network, and two engines on one machine can't get in each other's way. There is no
way out of that network: what a container needs has to be in its image, or in a registry on the engine's own
loopback.
"""

import fcntl
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from support.debian import SetupError
from support.engine_http import EngineError, EngineHTTP
from support.private_docker import PATH, dockerd_options
from support.readiness import Readiness

START_SECONDS = 60
STOP_SECONDS = 60


@contextmanager
def private_engine(folder: Path) -> Iterator[str]:
    """Start an engine with its data below the folder, yield its URL, and stop it."""
    with ExitStack() as stack:
        slot = stack.enter_context(_free_slot(folder))
        _clear_leftovers(slot)
        # Not below the build folder: the path of a unix socket may have 107 characters.
        runtime = Path(tempfile.mkdtemp(prefix="rp-engine-", dir="/tmp"))
        stack.callback(shutil.rmtree, runtime)
        (slot / "runtime").write_text(str(runtime))
        stack.callback((slot / "runtime").unlink, missing_ok=True)
        daemon = _start(slot, runtime)
        stack.callback(_stop, daemon)
        url = f"unix://{runtime}/docker.sock"
        _remove_containers(url)
        yield url
        _remove_containers_if_it_lives(url)


@contextmanager
def _free_slot(folder: Path) -> Iterator[Path]:
    """Hold the first data folder that nobody uses: a second run at the same time has images of its own."""
    for number in count(1):
        slot = folder / str(number)
        slot.mkdir(parents=True, exist_ok=True)
        with (slot / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield slot
            return


def _start(slot: Path, runtime: Path) -> subprocess.Popen[bytes]:
    """Start dockerd and return when it says that it is ready."""
    command = [
        # Should we be killed, it gets SIGTERM: nobody would stop it otherwise.
        *("setpriv", "--pdeathsig", "TERM", "--"),
        *("unshare", "--net", "--mount", "--propagation", "slave", "--"),
        *("sh", "-c", 'ip link set lo up && exec dockerd "$@"', "sh"),
        *dockerd_options(slot / "data", runtime),
        # One more attempt after 5 s, rather than five that take longer and longer: tests let pulls fail.
        *("--max-download-attempts", "1"),
    ]
    log = slot / "dockerd.log"
    with Readiness(runtime) as readiness, log.open("wb") as output:
        daemon = subprocess.Popen(
            command,
            env=os.environ | readiness.environment | PATH,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # a Ctrl-C in the terminal is for the command, not for its engine
            preexec_fn=_unblock_signals,
        )
        why_not = readiness.wait(daemon.pid, START_SECONDS)
    if why_not:
        _stop(daemon)
        last = "\n".join(log.read_text(errors="replace").splitlines()[-8:])
        raise SetupError(
            f"the private Docker engine {why_not}. Its log is {log} and ends with:\n{last}\n"
            "Start Docker in the usual way, or set DOCKER_HOST to an engine that works."
        )
    return daemon


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _remove_containers(url: str) -> None:
    """The engine serves nobody but us: what is left in it comes from a command that was killed."""
    api = EngineHTTP(url)
    for container in api.json("GET", "/containers/json", {"all": "1"}):
        api.request("DELETE", f"/containers/{container['Id']}", {"force": "1", "v": "1"})
    for what in ("networks", "volumes"):
        api.request("POST", f"/{what}/prune")


def _remove_containers_if_it_lives(url: str) -> None:
    """The command has its result already: that its engine died is worth a word, not another result."""
    try:
        _remove_containers(url)
    except (OSError, EngineError) as error:
        print(f"with-engine: the private engine did not live to the end: {error}", file=sys.stderr)


def _clear_leftovers(slot: Path) -> None:
    """Remove what a run that was killed has left in this slot, whose lock is ours now."""
    try:
        runtime = Path((slot / "runtime").read_text())
    except FileNotFoundError:
        return
    _stop_leftover(slot, runtime)
    shutil.rmtree(runtime, ignore_errors=True)


def _stop_leftover(slot: Path, runtime: Path) -> None:
    """A killed run's dockerd has its SIGTERM already, but may not have got to its end."""
    try:
        pid = int((runtime / "pid").read_text())
        old = os.pidfd_open(pid)
    except (OSError, ValueError):
        return
    try:
        # Only if it is that daemon still: the number may be another process's by now.
        if str(slot / "data").encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
            signal.pidfd_send_signal(old, signal.SIGTERM)
            select.select([old], [], [], STOP_SECONDS)
    except (FileNotFoundError, ProcessLookupError):
        pass  # it ended by itself meanwhile
    finally:
        os.close(old)


def _unblock_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
