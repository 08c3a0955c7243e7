"""Application errors as gRPC statuses: translated here and nowhere else."""

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from released.errors import ApplicationError, RefusedFields, Violation

logger = logging.getLogger(__name__)

DOMAIN = "releasephase"
"""The domain of every google.rpc.ErrorInfo."""

LARGEST_STATUS = 4500
"""Bytes of a status at most: it travels in base64 in trailers, which are limited to 8 KiB."""

LONGEST_MESSAGE = 500
"""Bytes of its message, which travels a second time, with up to three characters for each byte."""

LONGEST_FIELD = 200
LONGEST_TEXT = 400
"""Bytes of the name of a field, and of what is said of it, in a violation."""

Context = grpc.aio.ServicerContext[Any, Any]
S = TypeVar("S")
Request = TypeVar("Request")
Response = TypeVar("Response")


def unary(
    method: Callable[[S, Request, Context], Awaitable[Response]],
) -> Callable[[S, Request, Context], Awaitable[Response]]:
    """Make a unary handler report errors by their gRPC status."""

    @functools.wraps(method)
    async def handler(self: S, request: Request, context: Context) -> Response:
        try:
            return await method(self, request, context)
        except Exception as error:
            failure = error
        await abort(context, failure)

    return handler


def streaming(
    method: Callable[[S, Request, Context], AsyncIterator[Response]],
) -> Callable[[S, Request, Context], AsyncIterator[Response]]:
    """Make a streaming handler report errors by their gRPC status."""

    @functools.wraps(method)
    async def handler(self: S, request: Request, context: Context) -> AsyncIterator[Response]:
        try:
            async for response in method(self, request, context):
                yield response
            return
        except Exception as error:
            failure = error
        await abort(context, failure)

    return handler


async def abort(context: Context, error: Exception) -> NoReturn:
    """End an RPC with the status of an application error; any other one is logged, and not told."""
    if not isinstance(error, ApplicationError):
        logger.error("unexpected error in an RPC handler", exc_info=error)
        await context.abort(grpc.StatusCode.INTERNAL, "an unexpected error of the daemon: see its log")
    status = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)


def status_of(error: ApplicationError) -> status_pb2.Status:
    """Return the status with its details: an ErrorInfo, and a BadRequest for each field that is refused."""
    info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason=error.reason, metadata=error.metadata)
    status = status_pb2.Status(
        code=code_pb2.Code.Value(error.code.name),
        message=_cut(error.message, LONGEST_MESSAGE),
        details=[_packed(info)],
    )
    if isinstance(error, RefusedFields):
        room = LARGEST_STATUS - status.ByteSize()
        status.details.append(_packed(_bad_request(error.violations, room)))
    return status


def _bad_request(violations: Sequence[Violation], room: int) -> error_details_pb2.BadRequest:
    """Name as many violations as `room` bytes take."""
    bad_request = error_details_pb2.BadRequest()
    for violation in violations:
        bad_request.field_violations.add(
            field=_cut(violation.field, LONGEST_FIELD),
            description=_cut(violation.description, LONGEST_TEXT),
        )
        if bad_request.ByteSize() > room:
            del bad_request.field_violations[-1]
            break
    return bad_request


def _cut(text: str, limit: int) -> str:
    """The head of a text, in whole characters, that takes `limit` bytes at most."""
    return text.encode()[:limit].decode(errors="ignore")


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
