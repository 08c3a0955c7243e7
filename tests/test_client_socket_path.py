"""Where the client looks for the daemon."""

from pathlib import Path

import pytest

from releasectl import DaemonUnreachable, socket_path
from releasectl.socket_path import find_socket


@pytest.fixture
def system_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "run/released/released.sock"
    monkeypatch.setattr(socket_path, "SYSTEM_SOCKET", path)
    return path


@pytest.fixture
def user_socket(tmp_path: Path) -> Path:
    return tmp_path / "user/released/released.sock"


def make(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()


def test_the_system_socket_comes_first(tmp_path: Path, system_socket: Path, user_socket: Path) -> None:
    """A daemon of the host wins over one of the user."""
    make(system_socket)
    make(user_socket)
    assert find_socket({"XDG_RUNTIME_DIR": str(tmp_path / "user")}) == system_socket


def test_the_users_socket_comes_next(tmp_path: Path, system_socket: Path, user_socket: Path) -> None:
    """Without a daemon of the host it is the user's."""
    make(user_socket)
    assert find_socket({"XDG_RUNTIME_DIR": str(tmp_path / "user")}) == user_socket


def test_a_named_socket_is_the_only_one(tmp_path: Path, system_socket: Path) -> None:
    """Whoever names a daemon that is away must not reach another."""
    make(system_socket)
    assert find_socket({"RELEASED_SOCKET": "/nowhere"}) == Path("/nowhere")


def test_the_error_names_all_that_were_tried(tmp_path: Path, system_socket: Path, user_socket: Path) -> None:
    """Nobody has to guess where the client looked."""
    with pytest.raises(DaemonUnreachable, match=f"tried {system_socket} and {user_socket}"):
        find_socket({"XDG_RUNTIME_DIR": str(tmp_path / "user")})


def test_without_a_runtime_directory_it_is_not_tried(system_socket: Path) -> None:
    """Only what was tried is named."""
    with pytest.raises(DaemonUnreachable, match=rf"tried {system_socket} \("):
        find_socket({})
