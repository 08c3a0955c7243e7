"""Being the only daemon: locks that name their holder and end with it, and stale sockets."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from released.errors import StartupError
from released.locks import exclusive, remove_stale_socket

HOLD = """
import sys
from pathlib import Path
from released.locks import exclusive
with exclusive(Path(sys.argv[1]), "the socket"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "released.sock"


def refused(path: Path, pid: int) -> str:
    return re.escape(f"the socket {path} is in use by another released, process {pid}: stop that one first")


def test_second_process_is_refused_with_the_pid_of_the_first(path: Path) -> None:
    """So that whoever started it knows what to stop."""
    with (
        holder(path) as process,
        pytest.raises(StartupError, match=refused(path, process.pid)),
        exclusive(path, "the socket"),
    ):
        pass


def test_refusal_leaves_the_holder_its_lock(path: Path) -> None:
    """However often it is tried; the pid stays readable."""
    with holder(path) as process:
        for _ in range(2):
            with pytest.raises(StartupError, match=refused(path, process.pid)), exclusive(path, "the socket"):
                pass


def test_lock_of_a_process_that_was_killed_is_gone(path: Path) -> None:
    """The kernel keeps it, not a file; the new holder's pid is the one named from then on."""
    with holder(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with exclusive(path, "the socket"):
            pass
    with (
        exclusive(path, "the socket"),
        pytest.raises(StartupError, match=refused(path, os.getpid())),
        exclusive(path, "the socket"),
    ):
        pass


def test_pid_of_an_earlier_holder_leaves_no_trace(path: Path) -> None:
    """However long it was."""
    path.parent.mkdir()
    path.with_name("released.sock.lock").write_text("4194304000\n")
    with (
        holder(path) as process,
        pytest.raises(StartupError, match=refused(path, process.pid)),
        exclusive(path, "the socket"),
    ):
        pass


def test_lock_ends_with_its_block(path: Path) -> None:
    """Also when the block raises."""
    with pytest.raises(LookupError), exclusive(path, "the socket"):
        raise LookupError
    with exclusive(path, "the socket"):
        pass


def test_two_paths_have_two_locks(tmp_path: Path) -> None:
    """Two daemons on one host do not hinder each other."""
    with exclusive(tmp_path / "a.sock", "the socket"), exclusive(tmp_path / "b.sock", "the socket"):
        pass


def test_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """The message has what and where."""
    (tmp_path / "file").touch()
    with (
        pytest.raises(StartupError, match=r"the lock of the audit log can't be opened: .*file"),
        exclusive(tmp_path / "file" / "audit.db", "the audit log"),
    ):
        pass


def test_lock_that_is_a_link_is_refused_and_what_it_leads_to_is_kept(tmp_path: Path) -> None:
    """Whoever may write beside the socket does not get another file overwritten."""
    (tmp_path / "precious").write_text("as it was")
    (tmp_path / "released.sock.lock").symlink_to(tmp_path / "precious")
    with (
        pytest.raises(StartupError, match=r"the lock of the socket can't be opened: .*released\.sock\.lock"),
        exclusive(tmp_path / "released.sock", "the socket"),
    ):
        pass
    assert (tmp_path / "precious").read_text() == "as it was"


def test_stale_socket_is_removed(tmp_path: Path) -> None:
    """A daemon that was killed left it."""
    path = tmp_path / "released.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    remove_stale_socket(path)
    assert not path.exists()


def test_no_socket_is_nothing_to_remove(tmp_path: Path) -> None:
    """The first start on a host."""
    remove_stale_socket(tmp_path / "released.sock")


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_anything_but_a_socket_is_refused_and_kept(tmp_path: Path, kind: str) -> None:
    """A wrong setting does not cost anybody a file; a link is not followed."""
    path = tmp_path / "released.sock"
    if kind == "file":
        path.write_text("precious")
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "missing")
    with pytest.raises(StartupError, match=re.escape(f"{path} exists and is no socket: remove it, or set")):
        remove_stale_socket(path)
    assert path.is_symlink() or path.exists()
