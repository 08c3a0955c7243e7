"""What a daemon that runs tells its service manager, sd_notify(3)."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SECONDS = 60


class ServiceManager:
    """Receives notifications in order."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver

    def receive(self) -> dict[str, str]:
        """The next notification: its variables."""
        lines = self._receiver.recv(65536).decode().split("\n")
        return dict(line.split("=", 1) for line in lines)

    def until_reloaded(self) -> dict[str, str]:
        """Wait until a reload has begun and ended, and return what is said of its end."""
        while "RELOADING" not in self.receive():
            pass
        while "READY" not in (ended := self.receive()):
            pass
        return ended


@contextmanager
def service_manager(folder: Path) -> Iterator[ServiceManager]:
    """Listen where a DaemonProcess in this folder, which has been started, was told to notify."""
    path = folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(path))
        receiver.settimeout(SECONDS)
        try:
            yield ServiceManager(receiver)
        finally:
            path.unlink()
