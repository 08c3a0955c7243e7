"""Requests that can't be decoded: bad input, as any other.

Left alone, gRPC answers UNKNOWN, and writes a traceback for each of them into the log.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from released.errors import InvalidRequest, Violation
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


def _decoding(method: Callable[..., Any], deserializer: Callable[[bytes], Any]) -> Callable[..., Any]:
    async def decode(data: bytes, context: Context) -> Any:
        try:
            return deserializer(data)
        except DecodeError as error:
            refusal = InvalidRequest([Violation("request", str(error))])
        await abort(context, refusal)

    async def call(data: bytes, context: Context) -> Any:
        return await method(await decode(data, context), context)

    async def stream(data: bytes, context: Context) -> AsyncIterator[Any]:
        async with aclosing(method(await decode(data, context), context)) as responses:
            async for response in responses:
                yield response

    return stream if inspect.isasyncgenfunction(method) else call
