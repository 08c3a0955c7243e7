"""releasephase.v1.AuditService."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from datetime import timedelta

from released.audit.filter import compile_event_filter, events_of, within
from released.audit.listings import EVENT_ORDERS, OLDEST_FIRST
from released.audit.log import AuditLog
from released.audit.search import Place
from released.audit.verification.findings import Head, Pruned
from released.errors import InvalidRequest, Violation
from released.model.receipt import Receipt
from released.service.audit_events import audit_event_message
from released.service.gate import Gate
from released.service.names import no_release, release_id_of
from released.service.pages import LARGEST, Asked
from released.service.statistics import command_statistics, start_microseconds, target_condition
from released.service.status import Context, streaming, unary
from releasephase.v1 import audit_service_pb2, audit_service_pb2_grpc, release_pb2

MOST_RECEIPTS = 100

REST = timedelta(seconds=1)
"""Between two verifications: nobody reads all of the log then, and its write-ahead log can be used again."""


class AuditService(audit_service_pb2_grpc.AuditServiceServicer):
    """Tells about the audit log as a whole."""

    def __init__(self, audit: AuditLog, gate: Gate) -> None:
        self._audit = audit
        self._gate = gate
        self._verifying = asyncio.Lock()
        self._rested = 0.0
        """By the loop's clock, when the next verification may begin."""

    @unary
    async def VerifyAudit(
        self,
        request: audit_service_pb2.VerifyAuditRequest,
        context: Context,
    ) -> audit_service_pb2.VerifyAuditResponse:
        self._gate.caller()
        receipts = _receipts(request)
        async with self._verifying:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(self._rested - loop.time())
            try:
                report = await self._audit.verify(receipts)
            finally:
                self._rested = loop.time() + REST.total_seconds()
        return audit_service_pb2.VerifyAuditResponse(
            problems=[
                audit_service_pb2.AuditProblem(description=problem.description, sequence=problem.sequence)
                for problem in report.problems
            ],
            event_count=report.event_count,
            head=_receipt(report.head) if report.head else None,
            prunings=map(_pruning, report.prunings),
            unchecked_receipts=[
                audit_service_pb2.UncheckedReceipt(
                    receipt=_receipt(unchecked.receipt), description=unchecked.description
                )
                for unchecked in report.unchecked_receipts
            ],
        )

    @unary
    async def GetCommandStatistics(
        self,
        request: audit_service_pb2.GetCommandStatisticsRequest,
        context: Context,
    ) -> audit_service_pb2.GetCommandStatisticsResponse:
        condition = within(self._gate.visible_targets(), target_condition(request))
        return await command_statistics(self._audit.query, condition, start_microseconds(request))

    @unary
    async def ListEvents(
        self,
        request: audit_service_pb2.ListEventsRequest,
        context: Context,
    ) -> audit_service_pb2.ListEventsResponse:
        asked = Asked.of(request, EVENT_ORDERS, OLDEST_FIRST, (request.release, request.filter))
        condition = compile_event_filter(request.filter)
        if request.release:
            release_id = release_id_of(request.release, "release")
            record = await self._audit.query.release(release_id)
            if record is None:
                raise await no_release(self._audit, release_id)
            self._gate.caller(record.spec.target)
            condition = events_of(release_id, condition)
        else:
            self._gate.caller()
        places = await self._audit.query.find_events(condition, asked.order, asked.after, asked.size + 1)
        events, token = await asked.page(places, self._messages_at)
        return audit_service_pb2.ListEventsResponse(events=events, next_page_token=token)

    async def _messages_at(self, places: Sequence[Place]) -> dict[int, audit_service_pb2.AuditEvent]:
        events = await self._audit.query.events_at(places)
        return {sequence: audit_event_message(event) for sequence, event in events.items()}

    @streaming
    async def ExportEvents(
        self,
        request: audit_service_pb2.ExportEventsRequest,
        context: Context,
    ) -> AsyncIterator[audit_service_pb2.ExportEventsResponse]:
        self._gate.caller()
        sequence, newest = request.after_sequence, self._audit.head.sequence
        if sequence < 0:
            raise InvalidRequest([Violation("after_sequence", "must not be negative")])
        if sequence > newest:
            # Nothing would come until the log has as many events, and those in between never.
            lacking = (
                f"the log goes to event {newest}: it is another one, or an older backup of it. Export it anew"
            )
            raise InvalidRequest([Violation("after_sequence", lacking)])
        # Each batch is a transaction of its own, read when the one before is on its way: a slow reader
        # takes no memory, and does not keep the write-ahead log from being used again.
        while events := await self._audit.query.all_events_after(
            sequence, newest, with_output=not request.without_output
        ):
            for batch in _batches(map(audit_event_message, events)):
                yield batch
            sequence = events[-1].sequence


def _batches(
    events: Iterable[audit_service_pb2.AuditEvent],
) -> Iterator[audit_service_pb2.ExportEventsResponse]:
    """Share events among messages that any client takes."""
    batch = audit_service_pb2.ExportEventsResponse()
    batch_bytes = 0
    for event in events:
        if batch.events and batch_bytes + event.ByteSize() > LARGEST:
            yield batch
            batch = audit_service_pb2.ExportEventsResponse()
            batch_bytes = 0
        batch.events.append(event)
        batch_bytes += event.ByteSize()
    if batch.events:
        yield batch


def _receipt(head: Head) -> release_pb2.Receipt:
    return release_pb2.Receipt(sequence=head.sequence, digest=head.digest)


def _pruning(pruned: Pruned) -> audit_service_pb2.AuditPruning:
    message = audit_service_pb2.AuditPruning(
        sequence=pruned.sequence, kind=pruned.kind, through_sequence=pruned.through_sequence
    )
    if pruned.event_time:
        message.event_time.FromDatetime(pruned.event_time)
    return message


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
