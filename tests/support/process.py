"""The daemon as a process that tests may kill and start again on the same files."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc

from releasephase.v1 import daemon_service_pb2_grpc, release_service_pb2_grpc
from releasephase.v1.release_service_pb2 import GetReleaseRequest, WatchReleaseRequest
from support.app import Outcome
from support.daemon import BIN, START_SECONDS, STOP_SECONDS, start_process, write_config
from support.readiness import Readiness

END_SECONDS = 120
"""What a release gets to end."""


class DaemonProcess:
    """A daemon whose files lie in one folder; `audit` puts its audit log elsewhere."""

    def __init__(
        self,
        folder: Path,
        engine_url: str,
        settings: str = "[releases]\nstop_grace = 5\n",
        audit: Path | None = None,
    ) -> None:
        self.folder = folder
        self.socket = folder / "released.sock"
        self.audit = audit or folder / "audit.db"
        self.secrets = folder / "released.sock.secrets"
        self.config = write_config(folder, engine_url, settings, self.audit)
        self._channel: grpc.Channel | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.is_alive:
            self.terminate()
        self._disconnect()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return (self.folder / "released.log").read_text()

    @property
    def daemon(self) -> daemon_service_pb2_grpc.DaemonServiceStub:
        return daemon_service_pb2_grpc.DaemonServiceStub(self.channel)

    @property
    def channel(self) -> grpc.Channel:
        if self._channel is None:
            self._channel = grpc.insecure_channel(f"unix:{self.socket}")
        return self._channel

    @property
    def stub(self) -> release_service_pb2_grpc.ReleaseServiceStub:
        return release_service_pb2_grpc.ReleaseServiceStub(self.channel)

    def outcome(self, name: str) -> Outcome:
        """Follow a release to its end."""
        events = list(self.watch(name))
        return Outcome(self.stub.GetRelease(GetReleaseRequest(name=name)), events)

    def watch(self, name: str, timeout: float = END_SECONDS) -> Any:
        """The call that follows a release: an iterator of its events."""
        return self.stub.WatchRelease(WatchReleaseRequest(name=name), timeout=timeout)

    def until_output(self, name: str, data: bytes) -> None:
        """Follow a release until it has written this."""
        seen = b""
        watch = self.watch(name)
        for event in watch:
            seen += event.command_output.data
            if data in seen:
                watch.cancel()
                return
        raise AssertionError(f"{name} ended without {data!r}, with {seen!r}")

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the daemon and wait until it says that it is ready; it gets these variables, too."""
        why_not = self._start(environment or {})
        assert not why_not, f"the daemon {why_not}:\n{self.log}"

    def starts(self, environment: Mapping[str, str]) -> bool:
        """Start the daemon with these variables, too, and return whether it got ready."""
        return not self._start(environment)

    def _start(self, environment: Mapping[str, str]) -> str:
        with Readiness(self.folder) as ready:
            self.launch({**environment, **ready.environment})
            return ready.wait(self.pid, START_SECONDS)

    def launch(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the daemon with these variables, too, and don't wait for anything."""
        self._process = start_process(self.config, self.folder / "released.log", environment or {})

    @property
    def is_alive(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def ends_within(self, seconds: float) -> bool:
        """Whether it ends by itself in that time."""
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def run_another(self, config: Path) -> subprocess.CompletedProcess[str]:
        """Run one more daemon, which is expected to end by itself."""
        return subprocess.run(
            [BIN / "released", "--config", config],
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=False,
        )

    def releasectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line against it."""
        return subprocess.run(
            [BIN / "releasectl", *arguments],
            env=os.environ | {"RELEASED_SOCKET": str(self.socket)},
            capture_output=True,
            text=True,
            timeout=STOP_SECONDS,
            check=False,
        )

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """End it as systemd would, and return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: int) -> int:
        assert self._process is not None
        self._process.send_signal(number)
        return self.wait()

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Wait until it has ended by itself, and return its exit code, -9 for SIGKILL."""
        assert self._process is not None
        status = self._process.wait(seconds)
        self._disconnect()
        return status

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


@contextmanager
def daemon_in_memory(engine_url: str) -> Iterator[DaemonProcess]:
    """A daemon whose files are in memory, as /run is."""
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name,
        DaemonProcess(Path(name), engine_url) as daemon,
    ):
        yield daemon
