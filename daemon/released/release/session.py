"""The dialogue with the supervisor in a running container: gates one way, markers the other."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping
from contextlib import aclosing
from datetime import datetime
from typing import NamedTuple

from released.engine.errors import EngineUnreachable
from released.model.states import Stream
from released.release.markers import Exited, Here, Marker, Ready, Started
from released.release.masking.masking import StreamMasker
from released.release.output import OutputRecorder
from released.release.seam import Seam
from released.release.streams import Source

logger = logging.getLogger(__name__)

DRAINING_SECONDS = 10.0
"""What the last output of a container that has ended may take to come."""

_READY = -1
"""The milestone before the first command's exit."""


class CommandEnd(NamedTuple):
    """How a command ended, by its own account.

    `stopped`: SIGTERM had come for the container. `time` is when that was read, if long before now.
    """

    status: int
    stopped: bool = False
    time: datetime | None = None


class Session:
    """One container's supervisor, as long as its streams last.

    A milestone is reached once its marker has come on both streams: then all output
    before it has come, too. Without a supervisor, all output is of the command `within`.
    """

    def __init__(
        self,
        source: Source,
        recorder: OutputRecorder,
        maskers: Mapping[Stream, StreamMasker],
        seam: Seam | None = None,
        within: int | None = None,
    ) -> None:
        self._source = source
        self._recorder = recorder
        self._maskers = maskers
        """They come before the seam: what is stored is masked, and what it is compared with has to be."""
        self._logged = dict.fromkeys(Stream, "")
        """When the engine read what came last in each stream (see Item)."""
        self._seam = seam
        self._command: dict[Stream, int | None] = dict.fromkeys(Stream, within)
        self._marked: defaultdict[Marker, set[Stream]] = defaultdict(set)
        self._exit_logged: dict[Exited, str] = {}
        self._exits_before: defaultdict[Here, dict[Stream, set[Exited]]] = defaultdict(dict)
        """Which commands' exits each stream has shown before it showed where it is."""
        self._milestones: defaultdict[int, asyncio.Future[CommandEnd]] = defaultdict(
            asyncio.get_running_loop().create_future,
        )
        self._reading = asyncio.create_task(self._read(), name="session")

    async def close(self) -> None:
        """Read no more. May be called twice."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def ready(self) -> bool:
        """Wait for the supervisor. False: the streams ended without it. Raises what the log raises.

        Raises EngineUnreachable when what happened before the session can't be read to its end.
        """
        return await self._milestone(_READY) is not None

    async def end_of(self, command_index: int) -> CommandEnd | None:
        """Wait for a command's end. None: the streams ended without it. Raises as `ready` does."""
        return await self._milestone(command_index)

    async def caught_up(self) -> None:
        """Wait until all is known that happened before the session. Raises as `ready` does."""
        waiting = asyncio.create_task(self._source.caught_up.wait())
        try:
            await asyncio.wait((waiting, self._reading), return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        if self._reading.done():
            self._reading.result()

    def lose_place(self, stream: Stream, command_index: int | None) -> None:
        """Go on within a command (None: outside of all of them) whose start was not read."""
        self._command[stream] = command_index
        if self._seam:
            self._seam.take_for_new(command_index, stream)

    def lose_output(self, stream: Stream) -> None:
        """Take note that bytes of a stream are missing here."""
        self._maskers[stream].lose_place()

    def known_end(self, command_index: int) -> CommandEnd | None:
        """A command's end, if it has come already."""
        milestone = self._milestones[command_index]
        return milestone.result() if milestone.done() else None

    def has_started(self, command_index: int) -> bool:
        """Whether a command's start marker has come on either stream."""
        return Started(command_index) in self._marked

    async def ended(self) -> None:
        """Wait for the end of the streams of a container that has ended, but not for ever.

        What could have been the head of a secret is recorded then, since no more of it comes.
        """
        await asyncio.wait({self._reading}, timeout=DRAINING_SECONDS)
        reading = self._reading
        was_read = reading.done() and not reading.cancelled() and not reading.exception()
        if was_read and not self._source.was_cut:
            await self._record_held()

    async def finished(self) -> None:
        """Wait for the end of the streams. Raises as `ready` does, and if they were cut."""
        await asyncio.wait({self._reading})
        self._reading.result()
        if self._source.was_cut:
            raise EngineUnreachable("the connection to the container was cut")

    async def open_gate(self, command_index: int) -> None:
        """Let a command go. Opening its gate again is without effect."""
        try:
            await self._source.write(f"go {command_index}\n".encode())
        except EngineUnreachable as error:
            logger.warning("the gate could not be opened: %s", error)  # the streams end then, too

    async def _milestone(self, number: int) -> CommandEnd | None:
        milestone = self._milestones[number]
        await asyncio.wait((milestone, self._reading), return_when=asyncio.FIRST_COMPLETED)
        if milestone.done():
            return milestone.result()
        self._reading.result()
        return None

    async def _read(self) -> None:
        async with aclosing(self._source.items()) as items:
            async for stream, content, logged in items:
                self._logged[stream] = logged
                if isinstance(content, bytes):
                    await self._record(stream, self._maskers[stream].feed(content), logged)
                else:
                    if not isinstance(content, Here):  # which comes anywhere, also within a secret
                        await self._record(stream, self._maskers[stream].finish(), logged)
                    await self._settle_seam(stream, content)
                    self._mark(stream, content, logged)
        # What is held stays so until the container is known to have ended: a lost connection ends, too.
        if self._seam and not any(masker.holds for masker in self._maskers.values()):
            await self._seam.finish()

    async def _record_held(self) -> None:
        for stream, masker in self._maskers.items():
            await self._record(stream, masker.finish(), self._logged[stream])
        if self._seam:
            await self._seam.finish()

    async def _record(self, stream: Stream, data: bytes, logged: str) -> None:
        if not data:
            return
        if logged and self._seam:
            await self._seam.write(self._command[stream], stream, data)
            return
        if self._seam:
            await self._seam.finish()
        await self._recorder.write(self._command[stream], stream, data)

    async def _settle_seam(self, stream: Stream, marker: Marker) -> None:
        """See to it that what comes before a marker is recorded before it counts."""
        if self._seam and not isinstance(marker, Here):
            command_index = self._command[stream]
            if command_index is not None:  # what is outside of all commands goes on behind the marker
                await self._seam.settle(command_index, stream)
            if isinstance(marker, Started):
                self._seam.compare(marker.index, stream)

    def _mark(self, stream: Stream, marker: Marker, logged: str) -> None:
        if isinstance(marker, Here):
            self._mark_here(stream, marker)
            return
        self._command[stream] = marker.index if isinstance(marker, Started) else None
        self._marked[marker].add(stream)
        if isinstance(marker, Exited):
            self._exit_logged[marker] = logged
        if len(self._marked[marker]) == len(Stream):
            if isinstance(marker, Ready):
                self._reach(_READY, CommandEnd(0))
            elif isinstance(marker, Exited):
                self._reach_exit(marker, logged)

    def _mark_here(self, stream: Stream, marker: Here) -> None:
        """Conclude from an exit that one stream shows before a place, that the other one has lost it."""
        exits = {m for m, streams in self._marked.items() if isinstance(m, Exited) and stream in streams}
        places = self._exits_before[marker]
        places.setdefault(stream, exits)
        if len(places) == len(Stream):
            for exited in set().union(*places.values()):
                self._reach_exit(exited, self._exit_logged[exited])

    def _reach_exit(self, marker: Exited, logged: str) -> None:
        time = datetime.fromisoformat(logged) if logged else None
        self._reach(marker.index, CommandEnd(marker.status, marker.stopped, time))

    def _reach(self, milestone: int, end: CommandEnd) -> None:
        # An entrypoint that runs its arguments twice says everything twice: the first time counts.
        if not self._milestones[milestone].done():
            self._milestones[milestone].set_result(end)
