"""A daemon whose configuration can't be used: it says where and why, and makes nothing."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.process import DaemonProcess

NO_ENGINE = "unix:///nonexistent/docker.sock"
LINES_BEFORE = 6
"""What a DaemonProcess says itself, before what a test has to say."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path: a unix socket's may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        yield Path(name)


@pytest.mark.parametrize(
    ("settings", "line", "message"),
    [
        ("outputcap = 1\n", 1, "[audit] outputcap: there is no such key"),
        ("[sever]\n", 1, "[sever]: there is no such key"),
        ("[releases]\nmax_concurrent = 0\n", 2, "[releases] max_concurrent: "),
        (
            '[access]\ndeploy = [\n  { user = "root" },\n  { user = "nosuchuser" },\n]\n',
            2,
            "[access] deploy[1].user: there is no user 'nosuchuser' on this host",
        ),
        (
            '[access]\nread = [{ group = "nosuchgroup" }]\n',
            2,
            "[access] read[0].group: there is no group 'nosuchgroup' on this host",
        ),
        (
            '[policy."shop/*"]\nroot_allowed = false\n[policy."*/live"]\nroot_allowed = true\n',
            3,
            '[policy] "*/live": it overlaps with [policy."shop/*"]: ',
        ),
        (
            '[registry]\nconfig = "/nonexistent/docker.json"\n',
            2,
            "[registry] config: the file of registry credentials, /nonexistent/docker.json, can't be read: ",
        ),
    ],
)
def test_daemon_does_not_start_and_names_file_line_and_key(
    folder: Path, settings: str, line: int, message: str
) -> None:
    """Exit code 2; there is neither a socket nor an audit log nor anything else of its making."""
    daemon = DaemonProcess(folder, NO_ENGINE, settings)
    ended = daemon.run_another(daemon.config)
    assert ended.returncode == 2, ended.stderr
    assert f"{daemon.config}, line {LINES_BEFORE + line}: {message}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert list(folder.iterdir()) == [daemon.config]
