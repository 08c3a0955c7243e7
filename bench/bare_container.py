"""A container of one command, in bare engine calls."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp

from bench.engine_calls import BareEngine, configuration
from bench.rounds import NotMeasured

_FRAME_HEADER = 8
"""A byte for the stream, three of zero, four of length, as the engine's API has it."""


class BareContainer:
    """A container that has been created."""

    def __init__(self, engine: BareEngine, container_id: str) -> None:
        self._engine = engine
        self.id = container_id
        self._path = f"/containers/{container_id}"
        self._deleted = False

    @classmethod
    @asynccontextmanager
    async def created(cls, engine: BareEngine, image: str, *command: str) -> AsyncIterator["BareContainer"]:
        """Create it; it is deleted at the end of the block, if that has not been done."""
        try:
            created = await engine.call("POST", "/containers/create", configuration(image, *command))
            container = cls(engine, created["Id"])
            try:
                yield container
            finally:
                if not container._deleted:
                    await container.delete()
        except (aiohttp.ClientError, OSError) as error:
            raise NotMeasured(f"the engine failed: {error!r}") from error

    async def start(self) -> None:
        """Start it."""
        await self._engine.call("POST", f"{self._path}/start")

    async def kill(self) -> None:
        """Send it SIGKILL."""
        await self._engine.call("POST", f"{self._path}/kill?signal=KILL")

    async def wait(self) -> int:
        """Return its exit code when it has ended."""
        return int((await self._engine.call("POST", f"{self._path}/wait"))["StatusCode"])

    async def delete(self) -> None:
        """Delete it, whatever it does."""
        self._deleted = True
        await self._engine.call("DELETE", f"{self._path}?v=1&force=1")

    async def follow(self, take: Callable[[bytes], None]) -> None:
        """Attach, start, and hand on what it writes, stream by stream, until it has ended."""
        async with self._engine.stream("POST", f"{self._path}/attach?stream=1&stdout=1&stderr=1") as chunks:
            await self.start()
            buffer = b""
            async for chunk in chunks:
                buffer = _hand_on(buffer + chunk, take)
        if buffer:
            raise NotMeasured("the engine ended in the middle of a frame")


def _hand_on(buffer: bytes, take: Callable[[bytes], None]) -> bytes:
    """Hand on the whole frames; return what is left."""
    while len(buffer) >= _FRAME_HEADER:
        end = _FRAME_HEADER + int.from_bytes(buffer[4:_FRAME_HEADER], "big")
        if len(buffer) < end:
            break
        take(buffer[_FRAME_HEADER:end])
        buffer = buffer[end:]
    return buffer
