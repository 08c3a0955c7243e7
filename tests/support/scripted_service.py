"""A real gRPC service on a real socket that answers what a test tells it to."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from releasectl import ReleaseClient
from releasephase.v1 import (
    audit_service_pb2_grpc,
    command_service_pb2_grpc,
    daemon_service_pb2_grpc,
    release_service_pb2_grpc,
)
from releasephase.v1.release_event_pb2 import ReleaseEvent
from support.story import Story

AT_ONCE = (timedelta(0),) * 3
"""Pauses before further attempts."""


@dataclass(frozen=True)
class Refusal:
    """An error to answer with; without a reason it carries no details."""

    code: grpc.StatusCode
    message: str = "refused"
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: tuple[tuple[str, str], ...] = ()
    domain: str = "releasephase"

    def status(self) -> Any:
        """Return the google.rpc.Status that says this."""
        status = status_pb2.Status(code=code_pb2.Code.Value(self.code.name), message=self.message)
        details: list[Message] = []
        if self.reason:
            details += [
                error_details_pb2.ErrorInfo(reason=self.reason, domain=self.domain, metadata=self.metadata)
            ]
        if self.violations:
            request = error_details_pb2.BadRequest()
            for name, description in self.violations:
                request.field_violations.add(field=name, description=description)
            details += [request]
        for detail in details:
            status.details.append(any_pb2.Any())
            status.details[-1].Pack(detail)
        return rpc_status.to_status(status)


CONNECTION_LOST = Refusal(grpc.StatusCode.UNAVAILABLE, "Socket closed")


class ScriptedService(
    release_service_pb2_grpc.ReleaseServiceServicer,
    daemon_service_pb2_grpc.DaemonServiceServicer,
    audit_service_pb2_grpc.AuditServiceServicer,
    command_service_pb2_grpc.CommandServiceServicer,
):
    """Answers each call of a method with the next of its answers, a stream once.

    The last answer of a method that returns one message stays. A call without an answer is refused.
    """

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self.requests: list[Any] = []
        self.asked = asyncio.Event()
        self.watch_ended = asyncio.Event()
        self.unexpected: list[str] = []
        """The methods that were called once more than there was an answer."""
        self._answers: dict[str, deque[Any]] = defaultdict(deque)

    def answer(self, method: str, *answers: Message | Refusal) -> None:
        """Set the answers of a method that returns one message."""
        self._answers[method].extend(answers)

    def hang(self, method: str) -> None:
        """Let a method never answer."""
        self._answers[method].append(asyncio.Event())

    def stream(self, *items: Message | Refusal | asyncio.Event, method: str = "WatchRelease") -> None:
        """Set what one more call of a streaming method sends; it waits for each asyncio.Event."""
        self._answers[method].append(items)

    async def StartRelease(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("StartRelease", request, context)

    async def GetRelease(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("GetRelease", request, context)

    async def ListReleases(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("ListReleases", request, context)

    async def RetryRelease(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("RetryRelease", request, context)

    async def CancelRelease(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("CancelRelease", request, context)

    async def ReportOutcome(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("ReportOutcome", request, context)

    async def GetStatus(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("GetStatus", request, context)

    async def GetCommandStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("GetCommandStatistics", request, context)

    async def ListCommands(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("ListCommands", request, context)

    async def CreateCommand(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("CreateCommand", request, context)

    async def UpdateCommand(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("UpdateCommand", request, context)

    async def MoveCommand(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("MoveCommand", request, context)

    async def DeleteCommand(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("DeleteCommand", request, context)

    async def ReplaceCommands(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("ReplaceCommands", request, context)

    async def ListCommandChanges(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("ListCommandChanges", request, context)

    async def VerifyAudit(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("VerifyAudit", request, context)

    async def WatchRelease(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        try:
            async for item in self._each("WatchRelease", request, context):
                yield item
        finally:
            self.watch_ended.set()

    async def Drain(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for item in self._each("Drain", request, context):
            yield item

    async def ListEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        return await self._one("ListEvents", request, context)

    async def ExportEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802
        async for item in self._each("ExportEvents", request, context):
            yield item

    async def _each(self, method: str, request: Message, context: Any) -> AsyncIterator[Message]:
        answers = self._asked(method, request)
        items: Iterable[Any] = answers.popleft() if answers else [self._refuse(method)]
        for item in items:
            if isinstance(item, asyncio.Event):
                await item.wait()
            else:
                yield await self._message(item, context)

    async def _one(self, method: str, request: Message, context: Any) -> Message:
        answers = self._asked(method, request)
        answer = answers.popleft() if len(answers) > 1 else answers[0] if answers else self._refuse(method)
        return await self._message(answer, context)

    def _asked(self, method: str, request: Message) -> deque[Any]:
        self.requests.append(request)
        self.asked.set()
        return self._answers[method]

    def _refuse(self, method: str) -> Refusal:
        self.unexpected.append(method)
        return Refusal(grpc.StatusCode.INTERNAL, f"the test has no answer to {method}")

    async def _message(self, item: Message | Refusal | asyncio.Event, context: Any) -> Message:
        if isinstance(item, asyncio.Event):
            await item.wait()
        if isinstance(item, Refusal):
            await context.abort_with_status(item.status())
        return item  # type: ignore[return-value]  # abort raises


@asynccontextmanager
async def serve(socket: Path) -> AsyncIterator[ScriptedService]:
    """Serve a scripted service on a socket. Fails if it was called without an answer, whoever caught that."""
    service = ScriptedService(socket)
    server = grpc.aio.server()
    release_service_pb2_grpc.add_ReleaseServiceServicer_to_server(service, server)
    daemon_service_pb2_grpc.add_DaemonServiceServicer_to_server(service, server)
    command_service_pb2_grpc.add_CommandServiceServicer_to_server(service, server)
    audit_service_pb2_grpc.add_AuditServiceServicer_to_server(service, server)
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    try:
        yield service
    finally:
        await server.stop(None)
    assert service.unexpected == []


def script(service: ScriptedService, story: Story, events: Sequence[ReleaseEvent]) -> None:
    """Let the service start, stream and return one release."""
    service.answer("StartRelease", story.release)
    service.stream(*events)
    service.answer("GetRelease", story.release)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ScriptedService]:
    """A service on a socket of the test's own."""
    async with serve(tmp_path / "released.sock") as service:
        yield service


@pytest.fixture
async def agent(service: ScriptedService) -> AsyncIterator[ReleaseClient]:
    """A client of that service which tries again without a pause."""
    async with ReleaseClient(service.socket, start_retries=AT_ONCE, watch_retries=AT_ONCE) as agent:
        yield agent
