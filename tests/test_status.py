"""Application errors as gRPC statuses, with their details, in trailers that a client takes."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from released.errors import (
    Aborted,
    AlreadyExists,
    ApplicationError,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    ResourceExhausted,
    Unavailable,
    Violation,
)
from released.service.status import Context, status_of, streaming, unary
from releasephase.v1 import release_service_pb2_grpc
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import GetReleaseRequest, WatchReleaseRequest
from releasephase.v1.release_service_pb2_grpc import (
    ReleaseServiceServicer,
    add_ReleaseServiceServicer_to_server,
)

WORST = "\U0001f4a5" * 70_000


def detail(status: status_pb2.Status, kind: type[Message]) -> Message:
    (packed,) = (packed for packed in status.details if packed.Is(kind.DESCRIPTOR))
    unpacked = kind()
    assert packed.Unpack(unpacked)
    return unpacked


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (NotFound, code_pb2.NOT_FOUND),
        (AlreadyExists, code_pb2.ALREADY_EXISTS),
        (FailedPrecondition, code_pb2.FAILED_PRECONDITION),
        (Aborted, code_pb2.ABORTED),
        (ResourceExhausted, code_pb2.RESOURCE_EXHAUSTED),
        (Unavailable, code_pb2.UNAVAILABLE),
    ],
)
def test_error_has_its_code_and_one_error_info(kind: type[ApplicationError], code: int) -> None:
    """The domain, the reason for programs, the message for people, and what it is about."""
    status = status_of(kind("SOME_REASON", "what happened", {"target": "shop/live"}))
    assert (status.code, status.message) == (code, "what happened")
    assert len(status.details) == 1
    assert detail(status, error_details_pb2.ErrorInfo) == error_details_pb2.ErrorInfo(
        domain="releasephase", reason="SOME_REASON", metadata={"target": "shop/live"}
    )


def test_bad_input_names_its_fields_as_well() -> None:
    """For programs, in a BadRequest; for people, in the message."""
    status = status_of(InvalidRequest([Violation("image", "must be one"), Violation("user", "must not")]))
    assert status.code == code_pb2.INVALID_ARGUMENT
    assert status.message == "image: must be one; user: must not"
    info = detail(status, error_details_pb2.ErrorInfo)
    assert info == error_details_pb2.ErrorInfo(domain="releasephase", reason="INVALID_REQUEST")
    bad_request = detail(status, error_details_pb2.BadRequest)
    assert [(v.field, v.description) for v in bad_request.field_violations] == [  # type: ignore[attr-defined]
        ("image", "must be one"),
        ("user", "must not"),
    ]


def test_usual_number_of_violations_is_told_in_full() -> None:
    """Thirty commands, each without a label."""
    found = [
        Violation(f"commands[{index}].label", "must be one line of 1 to 200 characters")
        for index in range(30)
    ]
    bad_request = detail(status_of(InvalidRequest(found)), error_details_pb2.BadRequest)
    assert len(bad_request.field_violations) == 30  # type: ignore[attr-defined]


def test_text_is_cut_between_characters() -> None:
    """What is left of it can be read."""
    status = status_of(InvalidRequest([Violation("€" * 1000, WORST)]))
    bad_request = detail(status, error_details_pb2.BadRequest)
    (violation,) = bad_request.field_violations  # type: ignore[attr-defined]
    assert (violation.field, violation.description) == ("€" * 66, "\U0001f4a5" * 100)


class Failing(ReleaseServiceServicer):
    """A service whose every call fails with `error`."""

    error: Exception

    @unary
    async def GetRelease(self, request: GetReleaseRequest, context: Context) -> Release:  # noqa: N802
        raise self.error

    @streaming
    async def WatchRelease(  # noqa: N802
        self, request: WatchReleaseRequest, context: Context
    ) -> AsyncIterator[ReleaseEvent]:
        yield ReleaseEvent(sequence=1)
        raise self.error


@pytest.fixture
def service() -> Failing:
    return Failing()  # type: ignore[abstract]


@pytest.fixture
async def stub(service: Failing) -> AsyncIterator[release_service_pb2_grpc.ReleaseServiceAsyncStub]:
    """A client of a real server."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        address = f"unix:{Path(folder) / 's'}"
        server = grpc.aio.server()
        add_ReleaseServiceServicer_to_server(service, server)
        server.add_insecure_port(address)
        await server.start()
        async with grpc.aio.insecure_channel(address) as channel:
            yield release_service_pb2_grpc.ReleaseServiceStub(channel)
        await server.stop(0)


async def get(stub: release_service_pb2_grpc.ReleaseServiceAsyncStub) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await stub.GetRelease(GetReleaseRequest())
    return failed.value


async def watch(stub: release_service_pb2_grpc.ReleaseServiceAsyncStub) -> grpc.aio.AioRpcError:
    events = aiter(stub.WatchRelease(WatchReleaseRequest()))
    assert (await anext(events)).sequence == 1
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await anext(events)
    return failed.value


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(NotFound("RELEASE_NOT_FOUND", "there is none"), id="small"),
        pytest.param(InvalidRequest([Violation("x" * 9999, "y" * 9999)] * 9999), id="many violations"),
        pytest.param(InvalidRequest([Violation(WORST, WORST)] * 2), id="large violations"),
        pytest.param(InvalidRequest([Violation("a", WORST[:50])] * 99), id="many large violations"),
        pytest.param(Unavailable("X", WORST), id="large message"),
    ],
)
async def test_largest_errors_reach_the_client(
    service: Failing, stub: release_service_pb2_grpc.ReleaseServiceAsyncStub, error: ApplicationError
) -> None:
    """A client takes 8 KiB of trailers: more, and it sees another error in place of this one."""
    service.error = error
    for failed in (await get(stub), await watch(stub)):
        assert failed.code() is error.code
        status = rpc_status.from_call(failed)  # type: ignore[arg-type]
        assert status == status_of(error)


async def test_unexpected_error_tells_the_client_nothing_but_is_logged(
    service: Failing, stub: release_service_pb2_grpc.ReleaseServiceAsyncStub, caplog: pytest.LogCaptureFixture
) -> None:
    """Its words may be about something that is none of the caller's business."""
    service.error = LookupError("internals")
    with caplog.at_level(logging.ERROR):
        for failed in (await get(stub), await watch(stub)):
            assert failed.code() is grpc.StatusCode.INTERNAL
            assert failed.details() == "an unexpected error of the daemon: see its log"
    assert caplog.text.count("LookupError: internals") == 2
