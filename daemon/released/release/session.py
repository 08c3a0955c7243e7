"""The dialogue with the supervisor in a running container: gates one way, markers the other."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from released.engine.attachment import Attachment
from released.engine.errors import EngineUnreachable
from released.model.states import Stream
from released.release.markers import Exited, Marker, MarkerParser, Ready, Started
from released.release.output import OutputRecorder

DRAINING_SECONDS = 10.0
"""What the last output of a container that has ended may take to come."""

_READY = -1
"""The milestone before the first command's exit."""


class Session:
    """One container's supervisor, as long as its streams last.

    A milestone is reached once its marker has come on both streams: then all output
    before it has come, too.
    """

    def __init__(self, attachment: Attachment, nonce: str, recorder: OutputRecorder) -> None:
        self._attachment = attachment
        self._recorder = recorder
        self._parsers = {stream: MarkerParser(nonce) for stream in Stream}
        self._command: dict[Stream, int | None] = dict.fromkeys(Stream)
        self._marked: defaultdict[Marker, set[Stream]] = defaultdict(set)
        self._milestones: defaultdict[int, asyncio.Future[int | None]] = defaultdict(
            asyncio.get_running_loop().create_future,
        )
        self._reading = asyncio.create_task(self._read(), name="session")

    @classmethod
    @asynccontextmanager
    async def opened(
        cls, attachment: Attachment, nonce: str, recorder: OutputRecorder
    ) -> AsyncIterator[Self]:
        """Read the container's streams until the end of the block."""
        session = cls(attachment, nonce, recorder)
        try:
            yield session
        finally:
            session._reading.cancel()
            await asyncio.gather(session._reading, return_exceptions=True)

    async def ready(self) -> bool:
        """Wait for the supervisor. False: the streams ended without it. Raises what the log raises."""
        return await self._milestone(_READY) is not None

    async def exit_status(self, command_index: int) -> int | None:
        """Wait for a command's exit status. None: the streams ended without it. Raises as `ready` does."""
        return await self._milestone(command_index)

    async def ended(self) -> None:
        """Wait for the end of the streams of a container that has ended, but not for ever."""
        await asyncio.wait({self._reading}, timeout=DRAINING_SECONDS)

    async def open_gate(self, command_index: int) -> None:
        """Let a command go. Opening its gate again is without effect."""
        await self._attachment.write(f"go {command_index}\n".encode())

    async def _milestone(self, number: int) -> int | None:
        milestone = self._milestones[number]
        await asyncio.wait((milestone, self._reading), return_when=asyncio.FIRST_COMPLETED)
        if milestone.done():
            return milestone.result()
        self._reading.result()
        return None

    async def _read(self) -> None:
        try:
            async for stream, data in self._attachment.chunks():
                await self._take(stream, self._parsers[stream].feed(data))
        except EngineUnreachable:
            pass  # an end like any other: what the engine says on inspection counts
        for stream, parser in self._parsers.items():
            if rest := parser.finish():
                await self._take(stream, [rest])

    async def _take(self, stream: Stream, items: list[bytes | Marker]) -> None:
        for item in items:
            if isinstance(item, bytes):
                await self._recorder.write(self._command[stream], stream, item)
            else:
                self._mark(stream, item)

    def _mark(self, stream: Stream, marker: Marker) -> None:
        self._command[stream] = marker.index if isinstance(marker, Started) else None
        self._marked[marker].add(stream)
        if len(self._marked[marker]) == len(Stream):
            if isinstance(marker, Ready):
                self._reach(_READY, 0)
            elif isinstance(marker, Exited):
                self._reach(marker.index, marker.status)

    def _reach(self, milestone: int, status: int) -> None:
        # An entrypoint that runs its arguments twice says everything twice: the first time counts.
        if not self._milestones[milestone].done():
            self._milestones[milestone].set_result(status)
