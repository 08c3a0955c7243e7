"""What can be asked of the daemon's audit log."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from datetime import UTC, datetime

from releasephase.v1 import audit_service_pb2, release_pb2

from .connection import Connection
from .options import Receipt


class AuditCalls(Connection):
    """The calls of AuditService; a :class:`releasectl.ReleaseClient` has them."""

    async def verify_audit(self, receipts: Iterable[Receipt] = ()) -> audit_service_pb2.VerifyAuditResponse:
        """Let the daemon read all of its audit log and return the problems that it finds.

        The log has to prove by its digests that it still has what there are `receipts` of.

        That may take long for a large log; the `call_timeout` does not limit it.
        """
        request = audit_service_pb2.VerifyAuditRequest(
            receipts=[release_pb2.Receipt(sequence=sequence, digest=digest) for sequence, digest in receipts]
        )
        return await self._answer(self._audit.VerifyAudit, request, timeout=None)

    async def get_command_statistics(
        self, application: str = "", environment: str = "", since: datetime | None = None
    ) -> audit_service_pb2.GetCommandStatisticsResponse:
        """Return how often release commands ran and failed, and how long they take.

        Args:
            application: Only those of this application; empty for all that the caller may read.
            environment: Only those of this environment.
            since: Only runs that were begun then or later, with a time zone.
        """
        request = audit_service_pb2.GetCommandStatisticsRequest(
            application=application, environment=environment
        )
        if since is not None:
            request.start_time.FromDatetime(since.astimezone(UTC))
        return await self._call(self._audit.GetCommandStatistics, request)

    async def list_events_page(
        self,
        release: str = "",
        filter: str = "",
        *,
        order_by: str = "",
        page_size: int = 0,
        page_token: str = "",
    ) -> audit_service_pb2.ListEventsResponse:
        """Return one page of events as the audit log stores them.

        Args:
            release: The resource name of a release; all of the log if not given.
            filter: Of AIP-160 form; :func:`releasectl.event_filter` writes one.
            order_by: ``sequence``, or ``sequence desc`` from the newest on.
            page_size: How many at most: 0 for the daemon's default of 50, 1000 at most.
            page_token: The `next_page_token` of the page before, with the same release, filter and order.

        Raises:
            InvalidRequest: the filter, the order or the page token is malformed.
            NotFound: there is no such release.
        """
        request = audit_service_pb2.ListEventsRequest(
            release=release, filter=filter, order_by=order_by, page_size=page_size, page_token=page_token
        )
        return await self._call(self._audit.ListEvents, request)

    async def export_events(
        self, after_sequence: int = 0, *, with_output: bool = True
    ) -> AsyncGenerator[audit_service_pb2.AuditEvent]:
        """Yield all events of the audit log after a sequence, up to the newest one of now.

        To go on after a lost connection, call it again with the last sequence seen. Whoever stops
        early should close the iterator (:func:`contextlib.aclosing`).

        Args:
            after_sequence: Only events with a greater sequence are sent.
            with_output: Whether what containers wrote is sent, too.
        """
        request = audit_service_pb2.ExportEventsRequest(
            after_sequence=after_sequence, without_output=not with_output
        )
        async with aclosing(self._stream(self._audit.ExportEvents, request)) as batches:
            async for batch in batches:
                for event in batch.events:
                    yield event
