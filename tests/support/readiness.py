"""Wait until a service that we started says that it is ready, in the way that it would tell systemd."""

import os
import select
import socket
from pathlib import Path
from types import TracebackType


class Readiness:
    """A notification socket: give `environment` to the service, start it, then `wait` for it.

    The folder has to have a short path: a unix socket's may have 107 characters.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "notify"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.environment = {"NOTIFY_SOCKET": str(self._path)}

    def __enter__(self) -> "Readiness":
        self._socket.bind(str(self._path))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def wait(self, service: int, seconds: float) -> str:
        """Wait for the process with this id; return an empty string when it is ready, else why it is not."""
        died = os.pidfd_open(service)
        try:
            return self.wait_unless(died, seconds)
        finally:
            os.close(died)

    def wait_unless(self, died: int, seconds: float) -> str:
        """As `wait`, for a service whose end makes the file descriptor `died` readable."""
        while True:
            happened, _, _ = select.select([self._socket.fileno(), died], [], [], seconds)
            if self._socket.fileno() not in happened:
                return "ended at once" if happened else f"was not ready after {seconds:g} seconds"
            if b"READY=1" in self._socket.recv(4096).split(b"\n"):
                return ""
