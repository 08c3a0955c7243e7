"""Pruning on a disk that is full: it is what makes room there."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from released.config import Keep
from released.errors import ResourceExhausted
from released.model.events import CommandFinished, StateChanged
from released.model.states import CommandState, ReleaseState
from support import audit_log
from support.past import OUTPUT, Past, past, release_id
from support.small_disk import KIB, fill, fill_to_the_last_byte, free_bytes, small_disk, small_ext4_disk

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")

RESERVE_BYTES = 8 * 1024 * KIB
"""Half of the default. What is in the write-ahead log, 4 MiB at most, has to fit into it once more."""


@pytest.fixture(params=[small_disk, small_ext4_disk], ids=["tmpfs", "ext4"])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    with request.param(tmp_path / "disk", kib=32 * KIB) as disk:
        yield disk


async def write_until_it_is_full(log: Past, disk: Path) -> None:
    """Leave no room, also not what SQLite could use again, with a release under way."""
    await log.begin(100)
    fill(disk)
    with suppress(ResourceExhausted):
        while True:
            await log.audit.append_output(release_id(100), [(OUTPUT, os.urandom(65536))])
    fill_to_the_last_byte(disk)
    await log.append(
        100,
        CommandFinished(command_index=0, state=CommandState.FAILED),
        StateChanged(state=ReleaseState.FAILED),
    )


@pytest.mark.parametrize(
    "keep", [{"output": Keep(days=90)}, {"events": Keep(days=90)}], ids=["output", "events"]
)
async def test_pruning_makes_room_on_a_full_disk(disk: Path, keep: dict[str, Keep]) -> None:
    """It takes of the reserve what it needs, and gives it back: new releases are taken again."""
    async with past(disk / "audit.db", RESERVE_BYTES) as log:
        log.days_ago(100)
        for number in range(8):
            await log.run(number, *[os.urandom(65536)] * 16)
        log.days_ago(1)
        await write_until_it_is_full(log, disk)
        with pytest.raises(ResourceExhausted):
            await log.audit.probe()
        await log.prune(**keep)
        assert free_bytes(disk) > 7 * 1024 * KIB
        await log.audit.probe()
        assert log.audit.reserve_bytes == RESERVE_BYTES
        assert log.audit.health.writable
        await log.run(101, b"new")
    assert audit_log.problems_of(disk / "audit.db") == []
