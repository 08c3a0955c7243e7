"""A daemon that can't start with its audit log: its journal says why and what to do, and that helps."""

import shutil
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from support.damage import destroy_page, page_of
from support.process import DaemonProcess
from support.two_releases import two_releases

NO_ENGINE = "unix:///nonexistent/docker.sock"


@pytest.fixture
async def daemon() -> AsyncIterator[DaemonProcess]:
    """One that has not been started, with a log; its folder has a short path, as its socket needs."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        daemon = DaemonProcess(Path(name), NO_ENGINE)
        await two_releases(daemon.audit)
        yield daemon
        if daemon.is_alive:
            daemon.kill()


@pytest.mark.parametrize(
    ("page", "error"),
    [
        pytest.param("", "file is not a database", id="the schema"),
        pytest.param("events", "database disk image is malformed", id="the newest events"),
        pytest.param(
            "releases_by_state_and_outcome",
            "database disk image is malformed",
            id="the releases that have not ended",
        ),
    ],
)
def test_row_18_a_daemon_that_can_t_start_says_what_to_do(
    daemon: DaemonProcess, page: str, error: str
) -> None:
    """The file stays as it is; what the message says works: verify, move it away, start."""
    destroy_page(daemon.audit, page_of(daemon.audit, page) if page else 1)
    damaged = daemon.audit.read_bytes()
    ended = daemon.run_another(daemon.config)
    assert (ended.returncode, daemon.audit.read_bytes()) == (65, damaged)
    verify = ("audit", "verify", "--offline", str(daemon.audit))
    message = ended.stderr.splitlines()[-1]
    assert f"the audit log {daemon.audit} can't be used: {error}. See what is wrong with " in message
    assert f"`releasectl {' '.join(verify)}`; then restore a backup, or move the file away" in message
    verified = daemon.releasectl(*verify)
    assert (verified.returncode, error in verified.stdout) == (1, True)
    (before := daemon.folder / "before").mkdir()
    for file in daemon.folder.glob("audit.db*"):
        if file.name == "audit.db" or file.name.startswith("audit.db-"):
            shutil.move(file, before)
    daemon.start()
    assert daemon.releasectl("audit", "verify").returncode == 0


def test_daemon_older_than_its_log_ends_with_a_code_of_its_own(daemon: DaemonProcess) -> None:
    """As with a damaged log: to try it again does not help."""
    with closing(sqlite3.connect(daemon.audit)) as connection:
        connection.execute("PRAGMA user_version = 99")
    ended = daemon.run_another(daemon.config)
    assert (ended.returncode, "has schema 99, this version of released" in ended.stderr) == (65, True)


def test_damaged_key_ends_with_a_code_of_its_own(daemon: DaemonProcess) -> None:
    """It is in no backup of the log alone."""
    daemon.audit.with_name("audit.db.key").write_bytes(b"short")
    ended = daemon.run_another(daemon.config)
    assert (ended.returncode, "is damaged: restore it from a backup" in ended.stderr) == (65, True)


def test_what_may_pass_is_another_error(daemon: DaemonProcess) -> None:
    """systemd tries again then."""
    daemon.socket.write_text("not a socket")
    assert daemon.run_another(daemon.config).returncode == 1
