"""A container's standard streams, live."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple, Self

from aiodocker.stream import Stream as AttachedStream

from released.engine.connection import translated
from released.engine.errors import EngineUnreachable
from released.model.states import Stream

STREAMS = {1: Stream.STDOUT, 2: Stream.STDERR}
"""The numbers that the engine's multiplexed stream gives them."""


class Chunk(NamedTuple):
    """Bytes from one stream, cut anywhere."""

    stream: Stream
    data: bytes


class Attachment:
    """The streams of one container."""

    def __init__(self, stream: AttachedStream) -> None:
        self._stream = stream

    @classmethod
    @asynccontextmanager
    async def opened(cls, stream: AttachedStream, timeout: float) -> AsyncIterator[Self]:
        """Connect within `timeout` seconds, and disconnect at the end; the container goes on."""
        with translated("attaching to the container"):
            async with asyncio.timeout(timeout):
                await stream.__aenter__()
        try:
            yield cls(stream)
        finally:
            await _close(stream)

    async def chunks(self) -> AsyncIterator[Chunk]:
        """Yield what the container writes.

        The end of this says nothing about the container: a lost connection looks the same.
        """
        while True:
            with translated("reading the container's output"):
                message = await self._stream.read_out()
            if message is None:
                return
            if message.stream not in STREAMS:
                raise EngineUnreachable(f"the engine's stream says: {message.data!r}")
            yield Chunk(STREAMS[message.stream], message.data)

    async def write(self, data: bytes) -> None:
        """Write to the container's standard input. A lost connection is EngineUnreachable."""
        # aiodocker takes a connection for granted that is gone once the engine has closed it.
        connection = self._stream._resp.connection if self._stream._resp else None
        if connection is None or connection.transport is None:
            raise EngineUnreachable("the connection to the container is closed")
        with translated("writing to the container"):
            await self._stream.write_in(data)


async def _close(stream: AttachedStream) -> None:
    # As above.
    if stream._resp is not None and stream._resp.connection is None:
        stream._closed = True
        stream._resp.close()
    else:
        await stream.close()
