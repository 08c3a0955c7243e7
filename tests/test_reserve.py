"""The reserve of the audit log on a disk that does not let it be taken or given up."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from released.audit.log import AuditLog
from released.audit.reserve import Reserve
from released.errors import ResourceExhausted, Unavailable
from released.model.events import CommandOutput, ContainerRemoved
from released.model.states import Stream
from support import audit_log
from support.samples import RELEASE, accepted
from support.small_disk import KIB, fill, small_disk

RESERVE_BYTES = 1024 * KIB
OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)
RESULT = ContainerRemoved(container_id="c")


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    """Let nothing be made or removed for the block; what is open already can be written."""
    subprocess.run(["mount", "--bind", "-o", "ro", disk, disk], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", disk], check=True)


async def exhaust(audit: AuditLog) -> None:
    """Append results until even for those there is no room."""
    for _ in range(1000):
        try:
            await audit.append(RELEASE, *[RESULT] * 100)
        except ResourceExhausted:
            return
    raise AssertionError("the disk is never full")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")
async def test_reserve_that_cannot_be_changed_does_not_end_the_writing(tmp_path: Path) -> None:
    """Neither when it is to be given up nor when it is to be taken again."""
    with small_disk(tmp_path / "disk", kib=6 * KIB) as disk:
        async with audit_log.opened(disk / "audit.db", RESERVE_BYTES) as audit:
            await audit.append(RELEASE, accepted("true"))
            fill(disk)
            with read_only(disk):
                await exhaust(audit)
                with pytest.raises(ResourceExhausted):
                    await audit.append_output(RELEASE, [(OUTPUT, b"x")])
                assert audit.alive
        assert audit_log.problems_of(disk / "audit.db") == []


async def test_room_that_is_not_known_is_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk's error is the reason for which new work is refused."""

    def failing(path: Path) -> os.statvfs_result:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "statvfs", failing)
    fault = Reserve(tmp_path / "audit.db", RESERVE_BYTES).shortage()
    assert fault is not None
    assert (fault.kind, fault.reason) == (Unavailable, "AUDIT_UNWRITABLE")
    assert "Input/output error" in fault.message
