"""releasephase.v1.AuditService."""

import asyncio

from released.audit.filter import within
from released.audit.log import AuditLog
from released.errors import InvalidRequest, Violation
from released.model.receipt import Receipt
from released.service.gate import Gate
from released.service.statistics import command_statistics, start_microseconds, target_condition
from released.service.status import Context, unary
from releasephase.v1 import audit_service_pb2, audit_service_pb2_grpc, release_pb2

MOST_RECEIPTS = 100


class AuditService(audit_service_pb2_grpc.AuditServiceServicer):
    """Tells about the audit log as a whole."""

    def __init__(self, audit: AuditLog, gate: Gate) -> None:
        self._audit = audit
        self._gate = gate
        self._verifying = asyncio.Lock()

    @unary
    async def VerifyAudit(
        self,
        request: audit_service_pb2.VerifyAuditRequest,
        context: Context,
    ) -> audit_service_pb2.VerifyAuditResponse:
        self._gate.caller()
        receipts = _receipts(request)
        async with self._verifying:
            report = await self._audit.verify(receipts)
        head = report.head
        return audit_service_pb2.VerifyAuditResponse(
            problems=[
                audit_service_pb2.AuditProblem(description=problem.description, sequence=problem.sequence)
                for problem in report.problems
            ],
            event_count=report.event_count,
            head=release_pb2.Receipt(sequence=head.sequence, digest=head.digest) if head else None,
        )

    @unary
    async def GetCommandStatistics(
        self,
        request: audit_service_pb2.GetCommandStatisticsRequest,
        context: Context,
    ) -> audit_service_pb2.GetCommandStatisticsResponse:
        condition = within(self._gate.visible_targets(), target_condition(request))
        return await command_statistics(self._audit.query, condition, start_microseconds(request))


def _receipts(request: audit_service_pb2.VerifyAuditRequest) -> list[Receipt]:
    if len(request.receipts) > MOST_RECEIPTS:
        raise InvalidRequest([Violation("receipts", f"at most {MOST_RECEIPTS}")])
    receipts, violations = [], []
    for index, receipt in enumerate(request.receipts):
        try:
            receipts.append(Receipt.parse(f"{receipt.sequence}:{receipt.digest}"))
        except ValueError as error:
            violations.append(Violation(f"receipts[{index}]", str(error)))
    if violations:
        raise InvalidRequest(violations)
    return receipts
