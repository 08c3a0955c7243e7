"""A backup of the audit log of a daemon that is at work, and what becomes of the daemon with it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from releasephase.v1.release_service_pb2 import GetReleaseRequest
from support import audit_log
from support.app import Outcome, release_request
from support.docker_engine import Engine
from support.process import DaemonProcess

WRITING = "echo up; while true; do head -c 200000 /dev/urandom; sleep 0.01; done"


@pytest.fixture
def daemon(engine: Engine) -> Iterator[DaemonProcess]:
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name,
        DaemonProcess(Path(name), engine.url) as daemon,
    ):
        yield daemon


def run(daemon: DaemonProcess, image: str, line: str) -> Outcome:
    return daemon.outcome(daemon.stub.StartRelease(release_request(line, image=image)).name)


def back_up(daemon: DaemonProcess, copy: Path) -> str:
    """Return the receipt that the backup tells."""
    result = daemon.releasectl("audit", "backup", str(copy))
    assert result.returncode == 0, result.stderr
    return result.stderr.rstrip().rpartition(" ")[2]


def receipt_of(outcome: Outcome) -> str:
    return f"{outcome.release.receipt.sequence}:{outcome.release.receipt.digest}"


async def test_backups_of_a_daemon_at_work_are_whole(
    daemon: DaemonProcess, busybox_image: str, tmp_path: Path
) -> None:
    """While a release writes as fast as it can: each copy is sound, and has all that was there by then."""
    name = daemon.stub.StartRelease(release_request(WRITING, image=busybox_image)).name
    daemon.until_output(name, b"up\n")
    copies = [tmp_path / f"{number}.db" for number in range(4)]
    before = 0
    for copy in copies:
        receipt = back_up(daemon, copy)
        assert audit_log.problems_of(copy) == []
        async with audit_log.opened(copy) as log:
            assert log.head.sequence == int(receipt.partition(":")[0]) > before
            before = log.head.sequence
    assert daemon.releasectl("cancel", name).returncode == 0
    assert daemon.outcome(name).state == "CANCELLED"
    assert audit_log.problems_of(daemon.audit) == []


def test_daemon_goes_on_from_a_backup(daemon: DaemonProcess, busybox_image: str, tmp_path: Path) -> None:
    """As docs/audit.md says. What was recorded later is gone; whoever has a receipt of it can show that."""
    kept = run(daemon, busybox_image, "echo kept")
    under_way = daemon.stub.StartRelease(release_request("echo up; sleep 1000", image=busybox_image)).name
    daemon.until_output(under_way, b"up\n")
    receipts = [receipt_of(kept), back_up(daemon, tmp_path / "copy.db")]
    assert daemon.releasectl("cancel", under_way).returncode == 0
    lost = run(daemon, busybox_image, "echo lost")
    daemon.terminate()
    for file in daemon.folder.glob("audit.db-*"):
        file.unlink()
    shutil.copy(tmp_path / "copy.db", daemon.audit)
    daemon.start()
    assert daemon.outcome(kept.release.name).events == kept.events
    assert daemon.outcome(under_way).state == "FAILED"
    assert daemon.releasectl("show", lost.release.name).returncode == 3
    cut_off = daemon.releasectl("audit", "verify", "--receipt", receipt_of(lost))
    assert cut_off.returncode == 1
    assert "is of an event behind the end of the log, which is event" in cut_off.stdout
    assert run(daemon, busybox_image, "echo new").output() == b"new\n"
    sound = daemon.releasectl("audit", "verify", *(f"--receipt={receipt}" for receipt in receipts))
    assert (sound.returncode, sound.stdout) == (0, "")
    assert daemon.stub.GetRelease(GetReleaseRequest(name=kept.release.name)) == kept.release
