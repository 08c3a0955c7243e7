"""Refusals in the audit log: each kind once at once, and then by the number."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from released import denials
from released.audit.log import AuditLog
from released.denials import MOST_KINDS, Denials
from released.model.events import OWN, AccessDenied, AnyBody
from support import audit_log
from support.samples import CALLER

OTHER = msgspec.structs.replace(CALLER, uid=1001, user="eve")


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        yield audit


async def recorded(audit: AuditLog) -> list[AnyBody]:
    await audit.probe()
    return await audit_log.bodies_of(audit, OWN)


async def test_first_of_each_kind_is_recorded_at_once(audit: AuditLog) -> None:
    """A kind is a user, a method, and what was wrong."""
    denials = Denials(audit)
    denials.record(CALLER, "Drain", "ACCESS_DENIED", "no")
    denials.record(CALLER, "StartRelease", "ACCESS_DENIED", "no", "shop/live")
    denials.record(OTHER, "Drain", "ACCESS_DENIED", "no")
    denials.record(CALLER, "StartRelease", "APPLICATION_NOT_ENABLED", "not here", "blog/live")
    assert await recorded(audit) == [
        AccessDenied(caller=CALLER, method="Drain", reason="no"),
        AccessDenied(caller=CALLER, method="StartRelease", reason="no", target="shop/live"),
        AccessDenied(caller=OTHER, method="Drain", reason="no"),
        AccessDenied(caller=CALLER, method="StartRelease", reason="not here", target="blog/live"),
    ]
    denials.close()


async def test_further_ones_are_recorded_as_one_in_the_end(audit: AuditLog) -> None:
    """The latest of them, with their number: whoever may do nothing can't fill the disk by asking."""
    denials = Denials(audit)
    for number in range(1000):
        denials.record(CALLER, "StartRelease", "ACCESS_DENIED", "no", f"shop/{number}")
    assert len(await recorded(audit)) == 1
    denials.close()
    denials.close()
    assert (await recorded(audit))[1:] == [
        AccessDenied(caller=CALLER, method="StartRelease", reason="no", target="shop/999", times=999)
    ]


async def test_who_goes_on_asking_is_recorded_once_an_interval(
    audit: AuditLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And after an interval without any, at once again."""
    monkeypatch.setattr(denials, "INTERVAL", 0.01)
    all_recorded = Denials(audit)
    for _ in range(2):
        all_recorded.record(CALLER, "Drain", "ACCESS_DENIED", "no")
    async with asyncio.timeout(60):
        while all_recorded._repeated:  # noqa: ASYNC110 - until two intervals are over
            await asyncio.sleep(0)
    all_recorded.record(CALLER, "Drain", "ACCESS_DENIED", "no")
    bodies = await recorded(audit)
    assert [body.times for body in bodies if isinstance(body, AccessDenied)] == [1, 1, 1]
    assert caplog.messages == ["Drain was refused: no"] * 3
    all_recorded.close()


async def test_many_users_are_recorded_as_a_few(audit: AuditLog) -> None:
    """One person may have thousands of them."""
    denials = Denials(audit)
    for uid in range(5000):
        caller = msgspec.structs.replace(CALLER, uid=uid)
        denials.record(caller, "Drain", "ACCESS_DENIED", "no")
    assert len(await recorded(audit)) == MOST_KINDS + 1
    denials.close()
    bodies = [body for body in await recorded(audit) if isinstance(body, AccessDenied)]
    assert (len(bodies), sum(body.times for body in bodies)) == (MOST_KINDS + 2, 5000)
    assert bodies[-1].caller.uid == 4999
