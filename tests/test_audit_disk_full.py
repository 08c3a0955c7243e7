"""The audit log on a disk that is full: it says so, keeps what it has, and goes on when there is room."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from released.audit.key import AuditKey
from released.audit.log import AuditLog
from released.errors import ResourceExhausted, StartupError
from released.locks import exclusive
from released.model.events import CommandOutput, StateChanged
from released.model.states import ReleaseState, Stream
from support import audit_log
from support.samples import OTHER_RELEASE, RELEASE, accepted
from support.small_disk import fill, make_room, small_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")

OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)
PREPARING = StateChanged(state=ReleaseState.PREPARING)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", kib=1024) as disk:
        yield disk


async def exhaust(audit: AuditLog) -> int:
    """Append output until there is no room for more, and say how often that went well."""
    for times in range(1000):
        try:
            await audit.append_output(RELEASE, [(OUTPUT, b"x" * 10_000)])
        except ResourceExhausted:
            return times
    raise AssertionError("the disk is never full")


async def test_full_disk_is_resource_exhausted_and_stores_nothing(disk: Path) -> None:
    """The caller is told what to do; what was stored before is all there."""
    async with audit_log.opened(disk / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"))
        times = await exhaust(audit)
        with pytest.raises(
            ResourceExhausted, match="the disk of the audit log is full: make room on it"
        ) as full:
            await audit.append_output(RELEASE, [(OUTPUT, b"x" * 100_000)])
        assert full.value.reason == "AUDIT_DISK_FULL"
        events = await audit_log.events_of(audit, RELEASE)
        assert [event.sequence for event in events] == list(range(1, times + 2))


async def test_service_resumes_by_itself_when_there_is_room(disk: Path) -> None:
    """Without a gap in the sequences, and without a restart."""
    async with audit_log.opened(disk / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"))
        fill(disk)
        times = await exhaust(audit)
        make_room(disk)
        assert await audit.append(RELEASE, PREPARING) == times + 2
        bodies = await audit_log.bodies_of(audit, RELEASE)
        assert bodies == [accepted("true"), *[OUTPUT] * times, PREPARING]
    async with audit_log.opened(disk / "audit.db") as audit:
        assert await audit_log.bodies_of(audit, RELEASE) == bodies


async def test_large_entry_without_room_does_not_spoil_small_ones_of_its_group(disk: Path) -> None:
    """A talkative command does not take another release its result."""
    async with audit_log.opened(disk / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"))
        await audit.append(OTHER_RELEASE, accepted("true"))
        group = [
            audit.append_output(RELEASE, [(OUTPUT, b"x" * 2_000_000)]),
            audit.append(OTHER_RELEASE, PREPARING),
        ]
        too_large, small = await asyncio.gather(*group, return_exceptions=True)
        assert isinstance(too_large, ResourceExhausted)
        assert small == 3


async def test_queries_are_answered_while_the_disk_is_full(disk: Path) -> None:
    """History is served whatever happens."""
    async with audit_log.opened(disk / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"))
        fill(disk)
        await exhaust(audit)
        record = await audit.query.release(RELEASE)
        assert record is not None
        assert audit.usage().free_bytes == 0


async def test_start_on_a_full_disk_says_so(disk: Path) -> None:
    """One line that names the file, whichever file it is."""
    fill(disk)
    with pytest.raises(StartupError, match=rf"the audit log {disk}/audit.db can't be"):
        await AuditLog.open(disk / "audit.db")
    with pytest.raises(StartupError, match=r"the key of the audit log.* can't be used: .*No space left"):
        AuditKey.open(disk / "audit.db")


async def test_lock_holds_on_a_full_disk(disk: Path) -> None:
    """Only whose it is can't be said."""
    fill(disk)
    path = disk / "audit.db"
    with (
        exclusive(path, "the audit log"),
        pytest.raises(StartupError, match=rf"{path} is in use by another released, process unknown"),
        exclusive(path, "the audit log"),
    ):
        pass
