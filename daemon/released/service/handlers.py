"""Methods that something comes before: made here for all interceptors."""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from released.service.status import Context

Method = Callable[..., Any]


def preceded(method: Method, prepare: Callable[[Any, Context], Awaitable[Any]]) -> Method:
    """Return the method, given what `prepare` makes of its request; not called if that ends the RPC.

    Whether it answers with one response or a stream, it has the same form as before.
    """

    async def call(request: Any, context: Context) -> Any:
        return await method(await prepare(request, context), context)

    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        async with aclosing(method(await prepare(request, context), context)) as responses:
            async for response in responses:
                yield response

    return stream if inspect.isasyncgenfunction(method) else call
