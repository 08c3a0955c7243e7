"""Queries that take long: nobody else waits for them, and they end with whoever asked."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from released.audit import log
from released.audit.filter import Condition
from released.audit.log import AuditLog
from released.audit.records import ReleaseRecord
from released.errors import ResourceExhausted, Unavailable
from support import audit_log
from support.samples import RELEASE, accepted

ENDLESS = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n) > 0"
LONG = ENDLESS.replace("FROM n)", "FROM n WHERE i < 200000)", 1)
"""Long enough that it is asked whether to go on."""


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"))
        yield audit


async def listed(audit: AuditLog, condition: str) -> list[ReleaseRecord]:
    return [record for _, record in await audit_log.listed(audit, Condition(condition))]


async def cancelled(tasks: list[asyncio.Task[list[ReleaseRecord]]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)


async def test_lists_that_take_long_hold_up_no_look_up(audit: AuditLog) -> None:
    """However many there are; and nothing of them is left when their callers go."""
    for _ in range(3):
        lists = [asyncio.create_task(listed(audit, ENDLESS)) for _ in range(2 * log.LISTS)]
        record = await audit.query.release(RELEASE)
        assert record is not None
        assert await audit.query.events_after(RELEASE, 0)
        await cancelled(lists)
        assert [found.release_id for found in await listed(audit, "TRUE")] == [RELEASE]


async def test_list_whose_caller_goes_before_it_has_begun(audit: AuditLog) -> None:
    """Its thread has not even heard of it."""
    lists = [asyncio.create_task(listed(audit, ENDLESS)) for _ in range(log.LISTS)]
    await asyncio.sleep(0)
    await cancelled(lists)
    assert len(await listed(audit, "TRUE")) == 1


async def test_lists_that_wait_for_each_other_are_all_answered(audit: AuditLog) -> None:
    """One takes over the connection of another at the moment at which that one has its answer."""
    found = await asyncio.gather(*(listed(audit, LONG) for _ in range(3 * log.LISTS)))
    assert [len(records) for records in found] == [1] * len(found)


async def test_list_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is told, and the next one is served."""
    monkeypatch.setattr(log, "LONGEST_LIST", timedelta(seconds=1))
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"))
        for _ in range(log.LISTS + 1):
            with pytest.raises(ResourceExhausted, match="took more than 1s: ask for less") as refused:
                await listed(audit, ENDLESS)
            assert refused.value.reason == "QUERY_TOO_LONG"
        assert audit.health.writable
        assert len(await listed(audit, "TRUE")) == 1


async def test_closing_the_log_ends_what_is_being_read(tmp_path: Path) -> None:
    """A daemon that is stopped does not wait for it."""
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"))
        endless = asyncio.create_task(listed(audit, ENDLESS))
        assert await audit.query.release(RELEASE)
    with pytest.raises(Unavailable, match="can't be read: interrupted"):
        await endless
