"""Telling the service manager how the daemon is doing: real datagrams, sd_notify(3)."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from released.systemd import feeding_watchdog, notify


@pytest.fixture
def manager() -> socket.socket:
    """The service manager's end."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def test_state_arrives_at_a_path(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One datagram each."""
    with manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        notify("STOPPING=1")
        assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"STOPPING=1"]


def test_state_arrives_at_an_abstract_address(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written with an @, which stands for the NUL that no environment variable can hold."""
    with manager:
        manager.bind(b"")  # the kernel chooses a free abstract address
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + manager.getsockname()[1:].decode())
        notify("READY=1")
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("value", [None, ""])
def test_nothing_is_sent_without_a_service_manager(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started by hand, the daemon just runs."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    if value is not None:
        monkeypatch.setenv("NOTIFY_SOCKET", value)
    notify("READY=1")


def test_service_manager_that_has_gone_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The daemon goes on, and its log says what could not be told."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "missing"))
    notify("READY=1")
    assert "could not be told READY=1" in caplog.text


@pytest.fixture
async def fed(manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> socket.socket:
    """A service manager that wants to hear of this process every 20 ms."""
    manager.bind(str(tmp_path / "notify"))
    manager.setblocking(False)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    return manager


async def test_watchdog_is_fed_again_and_again(fed: socket.socket) -> None:
    """By the event loop: as long as it turns, and no longer than the block."""
    with fed:
        async with feeding_watchdog(lambda: True):
            for _ in range(3):
                assert await asyncio.get_running_loop().sock_recv(fed, 100) == b"WATCHDOG=1"
        assert [task.get_name() for task in asyncio.all_tasks()].count("watchdog") == 0


async def test_watchdog_is_not_fed_when_a_part_of_the_daemon_has_died(
    fed: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    """So the service manager restarts it; its log says why."""
    answers = [True, False]
    with fed:
        async with feeding_watchdog(lambda: answers.pop(0)):
            (feeding,) = (task for task in asyncio.all_tasks() if task.get_name() == "watchdog")
            await feeding
        assert fed.recv(100) == b"WATCHDOG=1"
        with pytest.raises(BlockingIOError):
            fed.recv(100)
    assert "is to restart it" in caplog.text


@pytest.mark.parametrize(
    "environment",
    [{"WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": ""}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}],
)
async def test_watchdog_that_is_not_for_us_is_not_fed(
    fed: socket.socket, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is another process's, or there is none."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with fed:
        async with feeding_watchdog(lambda: True):
            assert not [task for task in asyncio.all_tasks() if task.get_name() == "watchdog"]


async def test_watchdog_without_a_process_is_ours(
    fed: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As sd_watchdog_enabled(3) has it."""
    monkeypatch.delenv("WATCHDOG_PID")
    with fed:
        async with feeding_watchdog(lambda: True):
            assert await asyncio.get_running_loop().sock_recv(fed, 100) == b"WATCHDOG=1"
