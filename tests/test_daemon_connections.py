"""Too many connections, to a daemon in a process of its own."""

from __future__ import annotations

import os
import resource
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest

from released.service.door import STRANGER_BYTES
from released.service.places import STRANGERS_EACH
from releasephase.v1.daemon_service_pb2 import DaemonStatus, GetStatusRequest
from releasephase.v1.daemon_service_pb2_grpc import DaemonServiceStub
from support.other_user import NOBODY, other_user
from support.process import DaemonProcess
from support.service_manager import service_manager

CROWD = 5000
RULES = f'[access]\nread = [{{ user = "{NOBODY}" }}]\n'
GET_STATUS = "releasephase.v1.DaemonService/GetStatus"
CAP = 200
"""The default of [server] max_connections_per_user."""


@pytest.fixture
def daemon() -> Iterator[DaemonProcess]:
    """One without an engine: none is needed for this."""
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name,
        DaemonProcess(Path(name), f"unix://{name}/no-engine.sock", RULES) as daemon,
    ):
        daemon.folder.chmod(0o755)
        yield daemon


def status(daemon: DaemonProcess, patiently: bool = False) -> DaemonStatus:
    """Ask over a new connection; patiently it is made as soon as it can be."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"unix:{daemon.socket}", options) as channel:
        return DaemonServiceStub(channel).GetStatus(GetStatusRequest(), timeout=60, wait_for_ready=patiently)


def descriptors(daemon: DaemonProcess) -> int:
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


def wait_until_closed(daemon: DaemonProcess, before: int) -> None:
    """Wait until the daemon has no more descriptors than before: closing has no event that we could see."""
    deadline = time.monotonic() + 60
    while descriptors(daemon) > before:
        assert time.monotonic() < deadline, f"{descriptors(daemon)} descriptors are open, {before} were"
        time.sleep(0.05)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_thousands_of_idle_connections_of_a_user_keep_nobody_else_out(daemon: DaemonProcess) -> None:
    """They are held to a cap, and a stock client above it sees UNAVAILABLE; nothing of them stays."""
    status(daemon)
    before = descriptors(daemon)
    with other_user(daemon.socket) as user:
        assert user.call(GET_STATUS).code == "OK"
        wait_until_closed(daemon, before)
        assert user.crowd(CROWD) == (CAP, CROWD - CAP)
        assert user.call(GET_STATUS).code == "UNAVAILABLE"
        assert status(daemon).version
        assert descriptors(daemon) < before + 4 * CAP
        user.leave()
        assert user.call(GET_STATUS, patiently=True).code == "OK"
        wait_until_closed(daemon, before)
        assert user.crowd(CAP + 1) == (CAP, 1)
    wait_until_closed(daemon, before)
    assert daemon.log.count(f"user {NOBODY}: {CAP} connections are open, more are refused") == 2
    assert daemon.log.count(f"user {NOBODY}: there is room again") == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_users_without_a_role_keep_nobody_out(daemon: DaemonProcess) -> None:
    """They share a few connections, and are cut off when they send more than it takes to be refused."""
    with (
        other_user(daemon.socket, NOBODY - 1, NOBODY - 1) as stranger,
        other_user(daemon.socket) as user,
    ):
        assert stranger.crowd(CROWD) == (STRANGERS_EACH, CROWD - STRANGERS_EACH)
        assert user.call(GET_STATUS).code == "OK"
        stranger.leave()
        answer = stranger.call(GET_STATUS, patiently=True)
        assert answer.code == "PERMISSION_DENIED"
        start = "releasephase.v1.ReleaseService/StartRelease"
        assert stranger.call(start, image="x" * 2 * STRANGER_BYTES).code == "UNAVAILABLE"
        assert stranger.call(GET_STATUS).code == "PERMISSION_DENIED"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_cap_that_is_changed_counts_at_once(daemon: DaemonProcess) -> None:
    """Once the daemon has read its configuration again."""
    text = daemon.config.read_text()
    daemon.config.write_text(text.replace("[server]\n", "[server]\nmax_connections_per_user = 5\n"))
    with service_manager(daemon.folder) as manager:
        os.kill(daemon.pid, signal.SIGHUP)
        manager.until_reloaded()
    with other_user(daemon.socket) as user:
        assert user.crowd(20) == (5, 15)


def test_without_descriptors_connections_wait_and_the_daemon_goes_on(daemon: DaemonProcess) -> None:
    """The log says so once; when there are some again, everybody is served."""
    status(daemon)
    before = descriptors(daemon)
    limits = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (before + 7, limits[1]))
    with ExitStack() as sockets:
        for _ in range(20):
            sockets.enter_context(socket.socket(socket.AF_UNIX)).connect(str(daemon.socket))
        deadline = time.monotonic() + 60
        while "no connection can be served for now: Too many open files" not in daemon.log:
            assert time.monotonic() < deadline, daemon.log
            time.sleep(0.05)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, limits)
        assert status(daemon, patiently=True).version
    wait_until_closed(daemon, before)
    assert daemon.log.count("no connection can be served for now") == 1


def test_nobody_gets_past_the_door(daemon: DaemonProcess) -> None:
    """Only the daemon may enter the folder of gRPC's own socket, also after a crash has left one there."""
    folder = daemon.folder / "released.sock.inner"
    daemon.kill()
    assert (folder / "grpc.sock").is_socket()
    folder.chmod(0o755)
    daemon.start()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert status(daemon).version
