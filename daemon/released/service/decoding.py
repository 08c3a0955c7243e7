"""Requests that can't be decoded: bad input, as any other.

Left alone, gRPC answers UNKNOWN, and writes a traceback for each of them into the log.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from released.errors import InvalidRequest, Violation
from released.service.handlers import Method, preceded
from released.service.status import Context, abort


class Decoding(grpc.aio.ServerInterceptor):
    """Decodes the requests of all methods that take one, and refuses those that are no such message."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        """Return the method's handler, now one that takes bytes; a method that does not exist has none."""
        handler = await continuation(handler_call_details)
        if handler and handler.unary_unary:
            method = _decoding(handler.unary_unary, handler.request_deserializer)
            handler = handler._replace(request_deserializer=None, unary_unary=method)
        elif handler and handler.unary_stream:
            method = _decoding(handler.unary_stream, handler.request_deserializer)
            handler = handler._replace(request_deserializer=None, unary_stream=method)
        return handler


def _decoding(method: Method, deserializer: Callable[[bytes], Any]) -> Method:
    async def decode(data: bytes, context: Context) -> Any:
        try:
            return deserializer(data)
        except DecodeError as error:
            refusal = InvalidRequest([Violation("request", str(error))])
        await abort(context, refusal)

    return preceded(method, decode)
