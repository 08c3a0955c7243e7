"""An engine that writes the times in its log as those of its own time zone."""

import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from releasephase.v1.release_pb2 import Mount
from support import busybox, debian
from support.app import STDERR, STDOUT, release_request
from support.private_docker import PrivateDocker, private_docker
from support.process import DaemonProcess

AN_HOUR_AHEAD = (
    b"TZif" + bytes(16) + struct.pack(">6I", 0, 0, 0, 0, 1, 4) + struct.pack(">iBB", 3600, 0, 0) + b"XYZ\0"
)
"""A time zone without any change, tzfile(5)."""


@pytest.fixture
def dockerd(tmp_path: Path) -> Iterator[PrivateDocker]:
    """An engine of this test's own, an hour ahead of UTC."""
    if os.geteuid() != 0 or not debian.which("dockerd"):
        pytest.skip("only root can start an engine of its own, where dockerd is installed")
    zone = tmp_path / "zone"
    zone.write_bytes(AN_HOUR_AHEAD)
    with private_docker({"TZ": str(zone)}) as docker:
        docker.start(live_restore=False)
        yield docker


@pytest.fixture
def daemon(dockerd: PrivateDocker) -> Iterator[DaemonProcess]:
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder,
        DaemonProcess(Path(folder), dockerd.url) as daemon,
    ):
        yield daemon


def test_output_and_end_are_taken_up_from_a_log_in_local_time(
    daemon: DaemonProcess, dockerd: PrivateDocker, tmp_path: Path
) -> None:
    """Its times are longer than those of UTC: no byte of them is output, and an end is when it was."""
    image = dockerd.engine.make_image(busybox.shell_image())
    folder = tmp_path / "m"
    folder.mkdir()
    line = "echo up; until [ -e /m/go ]; do sleep 0.05; done; echo done; echo error >&2"
    mounts = [Mount(source=str(folder), target="/m")]
    request = release_request(f"{line}; exit 7", image=image, mounts=mounts)
    release = daemon.stub.StartRelease(request)
    daemon.until_output(release.name, b"up\n")
    daemon.kill()
    (folder / "go").touch()
    (container,) = dockerd.engine.http.json("GET", "/containers/json", {"all": "1"})
    dockerd.engine.http.request("POST", f"/containers/{container['Id']}/wait")
    log = {"stdout": "1", "timestamps": "1"}
    assert b"+01:00 " in dockerd.engine.http.request("GET", f"/containers/{container['Id']}/logs", log)
    daemon.start()
    outcome = daemon.outcome(release.name)
    assert (outcome.cause, outcome.release.command_runs[0].exit_code) == ("COMMAND_FAILED", 7)
    assert outcome.output(0, STDOUT) == b"up\ndone\n"
    assert outcome.output(0, STDERR) == b"error\n"
    assert not {"output_realigned", "output_lost"} & set(outcome.kinds)
    run = outcome.release.command_runs[0]
    adopted = next(event for event in outcome.events if event.HasField("release_adopted"))
    assert run.start_time.ToDatetime() < run.end_time.ToDatetime() < adopted.event_time.ToDatetime()
