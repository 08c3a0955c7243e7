"""Telling the service manager how the daemon is doing: real datagrams, sd_notify(3)."""

import socket
from pathlib import Path

import pytest

from released.systemd import notify


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
