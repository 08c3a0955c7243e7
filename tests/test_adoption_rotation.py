"""A release whose container writes more, while no daemon is there, than the engine keeps of its log."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from releasephase.v1.release_pb2 import Mount, Release
from releasephase.v1.release_service_pb2 import ReleaseCommand, StartReleaseRequest
from support.docker_engine import Engine
from support.process import DaemonProcess

CAP = 4 * 1024 * 1024
"""The engine keeps 5 MiB then, the least that the daemon asks for."""

BEFORE, AWAY = 20_000, 2_000_000
"""Numbers that are written before the daemon goes, and, some 14 MB, while it is away."""

LINE = f"""
seq 1 {BEFORE}; echo up
until [ -e /m/flood ]; do sleep 0.05; done
seq 1 {AWAY}; echo done > /m/flooded
until [ -e /m/end ]; do echo tick; sleep 0.05; done
echo the end
"""
STORED_BEFORE = b"".join(b"%d\n" % number for number in range(1, BEFORE + 1)) + b"up\n"


@pytest.fixture
def daemon(engine: Engine) -> Iterator[DaemonProcess]:
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder,
        DaemonProcess(Path(folder), engine.url, f"output_cap = {CAP}\n") as daemon,
    ):
        yield daemon


@pytest.fixture
def flooded(daemon: DaemonProcess, busybox_image: str, tmp_path: Path) -> Release:
    """A release that runs, whose daemon is dead, and whose log does not begin with its beginning any more."""
    os.mkfifo(tmp_path / "flooded")
    request = StartReleaseRequest(application="shop", environment="live", image=busybox_image)
    request.mounts.append(Mount(source=str(tmp_path), target="/m"))
    for label, line in {"flood": LINE, "last": "echo last"}.items():
        request.commands.append(ReleaseCommand(label=label, line=line))
    release = daemon.stub.StartRelease(request)
    daemon.until_output(release.name, b"up\n")
    daemon.kill()
    (tmp_path / "flood").touch()
    subprocess.run(["timeout", "120", "cat", tmp_path / "flooded"], check=True)
    return release


def test_what_comes_after_the_gap_is_still_the_command_s(
    daemon: DaemonProcess, flooded: Release, tmp_path: Path
) -> None:
    """Output is lost, an event says so, and all else is as ever: whose output it is, sizes, exit codes."""
    daemon.start()
    daemon.until_output(flooded.name, b"tick\n")
    (tmp_path / "end").touch()
    outcome = daemon.outcome(flooded.name)
    assert (outcome.state, outcome.command_states) == ("SUCCEEDED", ["SUCCEEDED", "SUCCEEDED"])
    assert "output_lost" in outcome.kinds
    stored = outcome.output(0)
    assert stored.startswith(STORED_BEFORE)
    assert set(stored[len(STORED_BEFORE) :].splitlines()) == {b"tick", b"the end"}
    assert stored.endswith(b"tick\nthe end\n")
    assert outcome.release.command_runs[0].stdout_bytes == len(stored)
    assert (outcome.output(None), outcome.output(1)) == (b"", b"last\n")


def test_an_exit_code_behind_the_gap_is_the_true_one(
    daemon: DaemonProcess, engine: Engine, flooded: Release, tmp_path: Path
) -> None:
    """A command that has ended before the daemon is back: what the log has of its end counts."""
    (tmp_path / "end").touch()
    filters = f'{{"label": ["releasephase.release={flooded.name}"]}}'
    (container,) = engine.http.json("GET", "/containers/json", {"filters": filters})
    log = {"stdout": "1", "stderr": "1", "follow": "1", "tail": "2"}
    assert any(
        b" exit 0 0\n" in seen for seen in engine.http.follow(f"/containers/{container['Id']}/logs", log)
    )
    daemon.start()
    outcome = daemon.outcome(flooded.name)
    assert (outcome.state, outcome.command_states) == ("SUCCEEDED", ["SUCCEEDED", "SUCCEEDED"])
    assert "output_lost" in outcome.kinds
    assert outcome.output(0) == STORED_BEFORE
    assert (outcome.output(None), outcome.output(1)) == (b"", b"last\n")
