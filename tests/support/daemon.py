"""The real daemon in a process of its own, on a private socket, and the real command line to it."""

import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.readiness import Readiness

ANY_MOUNT = """\
[policy.default]
mounts = [
    { source = "/**", target = "/**", read_only = false },
    { source = "*", target = "/**", read_only = false },
]
"""
"""The policy of tests that are about something else."""

BIN = Path(__file__).resolve().parents[2] / ".venv" / "bin"
START_SECONDS = 30
STOP_SECONDS = 60


class DaemonError(Exception):
    """The daemon did not start, or did not end as it should; the message has its log."""


@dataclass(frozen=True)
class Daemon:
    """A daemon that is ready; its folder has the socket and what it wrote to stderr."""

    folder: Path
    process: subprocess.Popen[bytes]
    audit: Path

    @property
    def socket(self) -> Path:
        return self.folder / "released.sock"

    @property
    def log(self) -> str:
        return (self.folder / "released.log").read_text(errors="replace")

    def releasectl(self, *arguments: str, capture: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the command line against this daemon; without `capture` it has our own terminal."""
        return subprocess.run(
            [BIN / "releasectl", *arguments],
            env=os.environ | {"RELEASED_SOCKET": str(self.socket)},
            capture_output=capture,
            text=True,
            check=False,
        )


@contextmanager
def running_daemon(engine_url: str, more_settings: str = "", audit: Path | None = None) -> Iterator[Daemon]:
    """Run `released` until the block ends, in a temporary folder; its audit log there, or at `audit`.

    `more_settings` are TOML: keys of [audit], then other tables.
    """
    # A short path, whatever TMPDIR says: a unix socket's may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="rp-daemon-", dir="/tmp") as name, Readiness(Path(name)) as ready:
        folder = Path(name)
        config = write_config(folder, engine_url, more_settings, audit)
        process = start_process(config, folder / "released.log", ready.environment)
        daemon = Daemon(folder, process, audit or folder / "audit.db")
        try:
            if why_not := ready.wait(daemon.process.pid, START_SECONDS):
                raise DaemonError(f"the daemon {why_not}. Its log:\n{daemon.log}")
            yield daemon
        finally:
            _stop(daemon.process)
        if daemon.process.returncode != 0:
            raise DaemonError(f"the daemon ended with {daemon.process.returncode}. Its log:\n{daemon.log}")


def write_config(folder: Path, engine_url: str, more_settings: str = "", audit: Path | None = None) -> Path:
    """Write the configuration of a daemon whose files all lie in one folder, but for `audit`."""
    config = folder / "config.toml"
    config.write_text(
        f'[server]\nsocket = "{folder}/released.sock"\n[engine]\nurl = "{engine_url}"\n'
        f'[audit]\npath = "{audit or folder / "audit.db"}"\n{more_settings}\n{ANY_MOUNT}'
    )
    return config


def start_process(config: Path, log: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a daemon with these variables, too, that appends what it says to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            [BIN / "released", "--config", config],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal is for us, who then stop the daemon in order
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
