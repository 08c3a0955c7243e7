"""Application errors as gRPC statuses: translated here and nowhere else."""

import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from released.errors import ApplicationError, InvalidRequest

logger = logging.getLogger(__name__)

DOMAIN = "releasephase"
"""The domain of every google.rpc.ErrorInfo."""

MOST_VIOLATIONS = 20
"""How many violations a status carries at most: it travels in trailers, which are limited to 8 KiB."""

LONGEST_TEXT = 200
"""How many characters each of them may have, for the same reason."""

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
        await _abort(context, failure)

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
        await _abort(context, failure)

    return handler


async def _abort(context: Context, error: Exception) -> NoReturn:
    if not isinstance(error, ApplicationError):
        logger.error("unexpected error in an RPC handler", exc_info=error)
        await context.abort(grpc.StatusCode.INTERNAL, "an unexpected error of the daemon: see its log")
    status = rpc_status.to_status(status_of(error))
    await context.abort(status.code, status.details, status.trailing_metadata)


def status_of(error: ApplicationError) -> status_pb2.Status:
    """Return the status with its details: an ErrorInfo, and a BadRequest for bad input."""
    info = error_details_pb2.ErrorInfo(domain=DOMAIN, reason=error.reason, metadata=error.metadata)
    details: list[any_pb2.Any] = [_packed(info)]
    if isinstance(error, InvalidRequest):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(
                field=violation.field[:LONGEST_TEXT],
                description=violation.description[:LONGEST_TEXT],
            )
            for violation in error.violations[:MOST_VIOLATIONS]
        ]
        details.append(_packed(error_details_pb2.BadRequest(field_violations=violations)))
    code = code_pb2.Code.Value(error.code.name)
    return status_pb2.Status(code=code, message=error.message[: 5 * LONGEST_TEXT], details=details)


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
