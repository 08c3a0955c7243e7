"""The socket that callers connect to: our own, or one that systemd hands over."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from released import systemd
from released.errors import StartupError
from released.service.listening import listening

FREE = 500
"""From here on no file descriptor is in use."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    """A service manager that starts this very process, and goes on listening itself."""
    with ExitStack() as stack:
        yield Manager(stack, monkeypatch)


class Manager:
    """Hands sockets over as sd_listen_fds(3) has it, but for the number of the first one."""

    def __init__(self, stack: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stack = stack
        self._monkeypatch = monkeypatch

    def bound(self, family: socket.AddressFamily, kind: socket.SocketKind, address: str) -> socket.socket:
        made = self._stack.enter_context(socket.socket(family, kind))
        made.bind(address)
        return made

    def listen(self, path: Path) -> socket.socket:
        made = self.bound(socket.AF_UNIX, socket.SOCK_STREAM, str(path))
        made.listen()
        return made

    def hand_over(self, descriptor: int, count: int = 1, pid: int | None = None) -> int:
        """Hand a copy over, and return its number."""
        copy = fcntl.fcntl(descriptor, fcntl.F_DUPFD, FREE)
        os.set_inheritable(copy, True)
        self._monkeypatch.setattr(systemd, "FIRST_DESCRIPTOR", copy)
        self._monkeypatch.setenv("LISTEN_PID", str(pid or os.getpid()))
        self._monkeypatch.setenv("LISTEN_FDS", str(count))
        self._monkeypatch.setenv("LISTEN_FDNAMES", "released.socket")
        return copy


def connect(path: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


def refuses(path: Path, message: str) -> None:
    with pytest.raises(StartupError, match=re.escape(message)), listening(path):
        raise AssertionError("it listens")


@pytest.mark.parametrize("umask", [0, 0o077])
def test_our_own_socket_is_for_everybody_and_goes_away(folder: Path, umask: int) -> None:
    """Whatever the umask says; a stale one is replaced."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(folder / "socket"))
    before = os.umask(umask)
    try:
        with listening(folder / "socket") as listener, connect(folder / "socket"):
            assert (folder / "socket").stat().st_mode & 0o777 == 0o666
            assert not listener.getblocking()
    finally:
        os.umask(before)
    assert not (folder / "socket").exists()


def test_a_socket_that_can_t_be_bound_is_named(folder: Path) -> None:
    """A folder may be missing, or not ours."""
    refuses(folder / "missing" / "socket", "missing/socket can't be served: [Errno 2] No such file")


def test_the_manager_s_socket_is_used_and_left_alone(folder: Path, manager: Manager) -> None:
    """Who connected before is served; the path is there afterwards, and who connects then waits."""
    path = folder / "socket"
    descriptor = manager.hand_over(manager.listen(path).fileno())
    with connect(path):
        with listening(path) as listener:
            assert listener.fileno() == descriptor
            assert not listener.getblocking()
            listener.accept()[0].close()
        connect(path).close()


def test_the_manager_s_socket_is_ours_alone(folder: Path, manager: Manager) -> None:
    """No process that we start gets it, nor takes the variables for its own."""
    manager.hand_over(manager.listen(folder / "socket").fileno())
    with listening(folder / "socket") as listener:
        assert not listener.get_inheritable()
        assert not [name for name in os.environ if name.startswith("LISTEN_")]


def test_a_path_may_lead_through_links(folder: Path, manager: Manager) -> None:
    """/var/run is /run on most systems."""
    (folder / "run").mkdir()
    (folder / "var-run").symlink_to("run")
    manager.hand_over(manager.listen(folder / "run" / "socket").fileno())
    with listening(folder / "var-run" / "socket"):
        pass


def test_what_is_meant_for_another_process_is_not_ours(folder: Path, manager: Manager) -> None:
    """The variables reach every descendant of the process that is meant."""
    copy = manager.hand_over(manager.listen(folder / "other").fileno(), pid=1)
    with listening(folder / "socket"):
        connect(folder / "socket").close()
    os.close(copy)


def test_a_socket_at_another_path_is_refused(folder: Path, manager: Manager) -> None:
    """Clients that follow the configuration would never reach us."""
    manager.hand_over(manager.listen(folder / "other").fileno())
    refuses(
        folder / "socket", f"systemd listens at '{folder}/other', but [server] socket is '{folder}/socket'"
    )
    assert (folder / "other").is_socket()


@pytest.mark.parametrize(
    ("family", "kind", "address"),
    [
        (socket.AF_UNIX, socket.SOCK_STREAM, "bound only"),
        (socket.AF_UNIX, socket.SOCK_DGRAM, "datagrams"),
    ],
)
def test_another_kind_of_socket_is_refused(
    folder: Path, manager: Manager, family: socket.AddressFamily, kind: socket.SocketKind, address: str
) -> None:
    """It has to be one that listens, for streams."""
    manager.hand_over(manager.bound(family, kind, str(folder / address)).fileno())
    refuses(folder / address, "another kind of socket")


def test_a_socket_of_the_network_is_refused(folder: Path, manager: Manager) -> None:
    """The kernel would not say who calls."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        manager.hand_over(server.fileno())
        refuses(folder / "socket", "another kind of socket (('127.0.0.1',")


def test_what_is_no_socket_is_refused(folder: Path, manager: Manager) -> None:
    """A FIFO, say, by ListenFIFO=."""
    reading, writing = os.pipe()
    copy = manager.hand_over(reading)
    refuses(folder / "socket", "is no socket")
    for descriptor in (reading, writing, copy):
        os.close(descriptor)


def test_more_than_one_socket_is_refused(folder: Path, manager: Manager) -> None:
    """We would serve one of them, and nobody knows which."""
    first = manager.hand_over(manager.listen(folder / "socket").fileno(), count=2)
    second = os.dup2(first, first + 1)
    refuses(folder / "socket", "systemd has handed over 2 sockets")
    for descriptor in (first, second):
        os.close(descriptor)
