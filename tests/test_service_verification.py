"""VerifyAudit: one verification at a time, with room between them."""

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, cast

import pytest

from released.access import Access
from released.audit.log import AuditLog
from released.audit.verification.findings import Report
from released.config import AccessConfig
from released.denials import Denials
from released.model.receipt import Receipt
from released.model.rights import Right, Rights, Role
from released.service import audit as audit_service
from released.service import gate
from released.service.audit import AuditService
from released.service.callers import Callers
from released.service.gate import Call, Gate
from releasephase.v1.audit_service_pb2 import VerifyAuditRequest, VerifyAuditResponse
from support.samples import CALLER


class CountingLog:
    """An audit log that is verified at once."""

    def __init__(self) -> None:
        self.verified = 0

    async def verify(self, receipts: Sequence[Receipt]) -> Report:
        self.verified += 1
        return Report([], 0)


@pytest.mark.parametrize(("rest", "verified"), [(timedelta(hours=1), 1), (timedelta(), 2)])
async def test_verification_leaves_room_before_the_next(
    monkeypatch: pytest.MonkeyPatch, rest: timedelta, verified: int
) -> None:
    """Whoever asks for one after the other does not keep the write-ahead log from being used again."""
    monkeypatch.setattr(audit_service, "REST", rest)
    call = Call(CALLER, Rights([Right(Role.READ)]), "", Role.READ)
    monkeypatch.setattr(gate, "current_call", ContextVar("current_call", default=call))
    log = CountingLog()
    audit = cast(AuditLog, log)
    service = AuditService(audit, Gate(Access.of(AccessConfig()), Callers(), Denials(audit)))
    context: Any = None

    async def verify() -> VerifyAuditResponse:
        return await service.VerifyAudit(VerifyAuditRequest(), context)

    await verify()
    again = asyncio.create_task(verify())
    for _ in range(10):
        await asyncio.sleep(0)  # it could begin, if it did not wait
    assert log.verified == verified
    again.cancel()
    await asyncio.wait({again})
