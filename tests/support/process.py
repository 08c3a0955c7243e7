"""The daemon as a process that tests may kill and start again on the same files."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from releasephase.v1 import daemon_service_pb2_grpc, release_service_pb2_grpc
from support.daemon import BIN, START_SECONDS, STOP_SECONDS, start_process, write_config
from support.readiness import Readiness


class DaemonProcess:
    """A daemon whose files lie in one folder."""

    def __init__(self, folder: Path, engine_url: str) -> None:
        self.folder = folder
        self.socket = folder / "released.sock"
        self.audit = folder / "audit.db"
        self.config = write_config(folder, engine_url, "[releases]\nstop_grace = 5\n")
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
        if self._process is not None and self._process.poll() is None:
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
    def stub(self) -> release_service_pb2_grpc.ReleaseServiceStub:
        return release_service_pb2_grpc.ReleaseServiceStub(self.channel)

    @property
    def daemon(self) -> daemon_service_pb2_grpc.DaemonServiceStub:
        return daemon_service_pb2_grpc.DaemonServiceStub(self.channel)

    @property
    def channel(self) -> grpc.Channel:
        if self._channel is None:
            self._channel = grpc.insecure_channel(f"unix:{self.socket}")
        return self._channel

    def start(self) -> None:
        """Start the daemon and wait until it says that it is ready."""
        with Readiness(self.folder) as ready:
            self._process = start_process(self.config, self.folder / "released.log", ready)
            why_not = ready.wait(self._process.pid, START_SECONDS)
        assert not why_not, f"the daemon {why_not}:\n{self.log}"

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

    def wait(self) -> int:
        """Wait until it has ended by itself, and return its exit code."""
        assert self._process is not None
        status = self._process.wait(STOP_SECONDS)
        self._disconnect()
        return status

    def _disconnect(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
