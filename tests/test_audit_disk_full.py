"""The audit log on a disk that is full: it says so, records results, and goes on when there is room."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from released.audit import monitor
from released.audit.faults import damaged
from released.audit.key import AuditKey
from released.audit.log import AuditHealth, AuditLog
from released.audit.monitor import AuditMonitor
from released.errors import ResourceExhausted, StartupError
from released.locks import exclusive
from released.model.events import (
    Body,
    CancelRequested,
    CommandFinished,
    CommandOutput,
    CommandStarted,
    ContainerRemoved,
    Failure,
    ImagePullProgress,
    SignalSent,
    StateChanged,
)
from released.model.receipt import Receipt
from released.model.states import Cause, CommandState, ReleaseState, Stream
from support import audit_log
from support.samples import OTHER_RELEASE, RELEASE, accepted
from support.small_disk import (
    KIB,
    fill,
    fill_to_the_last_byte,
    make_room,
    small_disk,
    small_ext4_disk,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")

DISK_KIB = 8 * KIB
RESERVE_BYTES = 1024 * KIB
OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)
PREPARING = StateChanged(state=ReleaseState.PREPARING)
END: tuple[Body, ...] = (
    SignalSent(command_index=0, signal=15, reason="it can't be recorded"),
    ContainerRemoved(container_id="c"),
    CommandFinished(command_index=0, state=CommandState.FAILED),
    StateChanged(
        state=ReleaseState.FAILED, failure=Failure(cause=Cause.INTERRUPTED, message="the disk is full")
    ),
)


@pytest.fixture(params=[small_disk, small_ext4_disk], ids=["tmpfs", "ext4"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    with request.param(tmp_path / "disk", kib=DISK_KIB) as disk:
        yield disk


@pytest.fixture
def path(disk: Path) -> Path:
    return disk / "audit.db"


async def exhaust(audit: AuditLog) -> int:
    """Append output until there is no room for more, and say how often that went well."""
    for times in range(1000):
        try:
            await audit.append_output(RELEASE, [(OUTPUT, os.urandom(10_000))])
        except ResourceExhausted:
            return times
    raise AssertionError("the disk is never full")


async def exhaust_disk(audit: AuditLog, disk: Path) -> int:
    """As `exhaust`, with somebody else taking what is free, also what SQLite leaves."""
    fill(disk)
    times = await exhaust(audit)
    fill_to_the_last_byte(disk)
    return times


async def test_full_disk_is_resource_exhausted_and_stores_nothing(path: Path) -> None:
    """The caller is told what to do; what was stored before is all there."""
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        await audit.append(RELEASE, accepted("true"))
        times = await exhaust(audit)
        with pytest.raises(
            ResourceExhausted, match=f"the disk of the audit log {path} is full: make room on it"
        ) as full:
            await audit.append_output(RELEASE, [(OUTPUT, os.urandom(100_000))])
        assert full.value.reason == "AUDIT_DISK_FULL"
        events = await audit_log.events_of(audit, RELEASE)
        assert [event.sequence for event in events] == list(range(1, times + 2))


async def test_row_16_results_are_stored_while_the_disk_is_full(path: Path, disk: Path) -> None:
    """The reserve is given up for them and for nothing else, also when somebody else took the last byte."""
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        await audit.append(RELEASE, accepted("true"))
        assert audit.reserve_bytes == RESERVE_BYTES
        times = await exhaust_disk(audit, disk)
        assert (await audit.append(RELEASE, *END)).sequence == times + 1 + len(END)
        assert audit.reserve_bytes == 0
        assert not audit.health.writable
        for refused in (
            PREPARING,
            CommandStarted(command_index=0),
            ImagePullProgress(status="x"),
            accepted("true"),
        ):
            with pytest.raises(ResourceExhausted, match=r"make room for \d MiB more on it"):
                await audit.append(OTHER_RELEASE, refused)
        with pytest.raises(ResourceExhausted):
            await audit.append_output(RELEASE, [(OUTPUT, b"x")])
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        bodies = await audit_log.bodies_of(audit, RELEASE)
        assert bodies == [accepted("true"), *[OUTPUT] * times, *END]


async def test_the_reserve_has_room_for_the_results_of_many_releases(path: Path, disk: Path) -> None:
    """More than run at once by default, one by one, in the smallest reserve that can be configured."""
    names = [f"release {number}" for number in range(20)]
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        await asyncio.gather(*(audit.append(name, accepted("true")) for name in (RELEASE, *names)))
        await exhaust_disk(audit, disk)
        for name in names:
            await audit.append(name, CancelRequested(reason="late"), *END)
        assert [record.release_id for record in await audit.query.unfinished()] == [RELEASE]


async def test_the_reserve_is_not_taken_by_a_checkpoint(path: Path, disk: Path) -> None:
    """What waits in the write-ahead log would take all of it and give nothing back."""
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            await audit.append(RELEASE, accepted("true"))
            reader.execute("BEGIN")
            reader.execute("SELECT * FROM events").fetchall()  # what keeps it from being moved as it comes
            await audit.append_output(RELEASE, [(OUTPUT, os.urandom(4 * 1024 * KIB))])
        await exhaust_disk(audit, disk)
        for number in range(20):
            await audit.append(f"release {number}", *END)
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        for number in range(20, 25):
            await audit.append(f"release {number}", *END)


async def test_row_15_releases_are_refused_before_the_disk_is_quite_full(path: Path, disk: Path) -> None:
    """A release that could write its beginning only is not begun; the log says so until there is room."""
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        await audit.check_room()
        fill(disk)
        assert audit.reserve_bytes == RESERVE_BYTES
        with pytest.raises(ResourceExhausted, match=f"the disk of the audit log {path} is full"):
            await audit.check_room()
        assert (audit.health.writable, audit.head.sequence) == (False, 0)
        make_room(disk)
        await audit.check_room()
        assert audit.health == AuditHealth(True)


async def test_service_resumes_by_itself_when_there_is_room(path: Path, disk: Path) -> None:
    """Without a gap in the sequences, without a restart, and with a new reserve."""
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        await audit.append(RELEASE, accepted("true"))
        times = await exhaust_disk(audit, disk)
        await audit.append(RELEASE, *END)
        make_room(disk)
        assert (await audit.append(OTHER_RELEASE, accepted("true"))).sequence == times + len(END) + 2
        assert (audit.reserve_bytes, audit.health) == (RESERVE_BYTES, AuditHealth(True))
        bodies = await audit_log.bodies_of(audit, RELEASE)
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        assert await audit_log.bodies_of(audit, RELEASE) == bodies


async def test_that_there_is_room_again_is_found_out_without_being_asked(
    path: Path, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever watches the health of the log is told, and the reserve is there again."""
    monkeypatch.setattr(monitor, "INTERVAL", 0.01)
    told: asyncio.Queue[AuditHealth] = asyncio.Queue()
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        watching = AuditMonitor(audit)
        watching.audience.listen(told.put)
        await watching.start()
        assert await told.get() == AuditHealth(True)
        await audit.append(RELEASE, accepted("true"))
        await exhaust_disk(audit, disk)
        await audit.append(RELEASE, *END)
        full = await told.get()
        assert (full.writable, f"{path} is full" in full.message) == (False, True)
        make_room(disk)
        assert await told.get() == AuditHealth(True)
        assert audit.reserve_bytes == RESERVE_BYTES
        await watching.close()
        assert told.empty()


async def test_whoever_fails_to_take_it_in_is_told_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps neither the log from being watched nor the others from being told, once."""
    monkeypatch.setattr(monitor, "INTERVAL", 0.01)
    errors = [LookupError("a defect"), LookupError("a defect")]
    told: asyncio.Queue[AuditHealth] = asyncio.Queue()
    taken_in: asyncio.Queue[AuditHealth] = asyncio.Queue()

    async def fail_twice(health: AuditHealth) -> None:
        if errors:
            raise errors.pop()
        await taken_in.put(health)

    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        watching = AuditMonitor(audit)
        watching.audience.listen(fail_twice)
        watching.audience.listen(told.put)
        await watching.start()
        assert await taken_in.get() == AuditHealth(True)
        await watching.close()
    assert (told.qsize(), caplog.text.count("LookupError: a defect")) == (1, 2)


async def test_that_not_even_results_can_be_written_is_told_when_it_comes_to_that(
    path: Path, disk: Path
) -> None:
    """A disk that was full is also found damaged: what runs has to be stopped now."""
    told: asyncio.Queue[AuditHealth] = asyncio.Queue()
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        watching = AuditMonitor(audit)
        watching.audience.listen(told.put)
        await watching.start()
        assert await told.get() == AuditHealth(True)
        await audit.append(RELEASE, accepted("true"))
        await exhaust_disk(audit, disk)
        await audit.append(RELEASE, *END)
        assert (await told.get()).takes_results
        audit._writer.condemn(damaged("a page", path))
        assert not (await told.get()).takes_results
        await watching.close()


async def test_log_opens_on_a_full_disk_and_takes_results(path: Path, disk: Path) -> None:
    """What was under way when the daemon went can be settled; new work is refused."""
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        await audit.append(RELEASE, accepted("true"))
    fill(disk)
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        await audit.append(RELEASE, *END)
        with pytest.raises(ResourceExhausted):
            await audit.check_room()
        assert (await audit_log.bodies_of(audit, RELEASE))[-1] == END[-1]


async def test_large_entry_without_room_does_not_spoil_small_ones_of_its_group(path: Path) -> None:
    """A talkative command does not take another release its result."""
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        await audit.append(RELEASE, accepted("true"))
        await audit.append(OTHER_RELEASE, accepted("true"))
        group = [
            audit.append_output(RELEASE, [(OUTPUT, os.urandom(DISK_KIB * KIB))]),
            audit.append(OTHER_RELEASE, PREPARING),
        ]
        too_large, small = await asyncio.gather(*group, return_exceptions=True)
        assert isinstance(too_large, ResourceExhausted)
        assert isinstance(small, Receipt)
        assert small.sequence == 3


async def test_queries_are_answered_while_the_disk_is_full(path: Path, disk: Path) -> None:
    """History is served whatever happens."""
    async with audit_log.opened(path, RESERVE_BYTES) as audit:
        await audit.append(RELEASE, accepted("true"))
        await exhaust_disk(audit, disk)
        record = await audit.query.release(RELEASE)
        assert record is not None
        assert audit.usage().free_bytes == 0


async def test_start_on_a_full_disk_says_so(path: Path, disk: Path) -> None:
    """One line that names the file, whichever file it is."""
    fill(disk)
    await audit_log.check_refused(path, rf"the audit log {path} can't be")
    with pytest.raises(StartupError, match=r"the key of the audit log.* can't be used: .*No space left"):
        AuditKey.open(path)


async def test_lock_holds_on_a_full_disk(path: Path, disk: Path) -> None:
    """Only whose it is can't be said."""
    fill(disk)
    with (
        exclusive(path, "the audit log"),
        pytest.raises(StartupError, match=rf"{path} is in use by another released, process unknown"),
        exclusive(path, "the audit log"),
    ):
        pass
