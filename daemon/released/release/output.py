"""A release's output on its way to the audit log: capped, merged, and bounded."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from released.crash import CrashPoint, crash_point
from released.model.events import CommandOutput
from released.model.receipt import Receipt
from released.model.states import Stream
from released.release.cap import OutputCap, Piece

EVENT_BYTES = 64 * 1024
"""What one event carries at most."""

PENDING_BYTES = 1024 * 1024
"""What waits to be appended at most, before the container is made to wait."""

FLOOD_BYTES = 512 * 1024
FLOOD_PAUSE = 0.02
"""In a flood, an append waits for so many bytes, or until so many seconds have passed since the last."""

Append = Callable[[Sequence[tuple[CommandOutput, bytes]]], asyncio.Future[Receipt]]
"""Appends events to the audit log, all or none; the future is done when they are durable."""


class OutputRecorder:
    """Appends output to the log in the order in which it came.

    One append is under way at a time; what comes meanwhile is merged into fewer, larger
    events. After an append that carried much, the next one gathers some more, since a commit
    costs the same for a little as for a lot; quiet output is never kept waiting. When the log
    can't keep up, `write` waits, and with it the container.
    """

    def __init__(self, append: Append, cap_bytes: int) -> None:
        self._append = append
        self._cap_bytes = cap_bytes
        self._caps: dict[int | None, OutputCap] = {}
        self._pending: list[_Event] = []
        self._pending_bytes = 0
        self._under_way: asyncio.Future[Receipt] | None = None
        self._pause: asyncio.TimerHandle | None = None
        self._error: BaseException | None = None

    def resume(self, stored_bytes: Mapping[int | None, int]) -> None:
        """Count what is stored already of each command (None: outside of all of them) against its cap."""
        for command_index, size in stored_bytes.items():
            self._caps[command_index] = OutputCap(max(0, self._cap_bytes - size))

    async def write(self, command_index: int | None, stream: Stream, data: bytes) -> None:
        """Record bytes; waits only while too many wait already. Raises what the log raises."""
        cap = self._caps.setdefault(command_index, OutputCap(self._cap_bytes))
        for piece in cap.admit(Piece(command_index, stream, data)):
            self._enqueue(piece)
        self._append_pending()
        while self._pending_bytes > PENDING_BYTES:
            await self._appended()

    async def flush(self) -> None:
        """Return when everything is durable, the tails of capped commands included."""
        for cap in self._caps.values():
            for piece in cap.close():
                self._enqueue(piece)
        # A command has ended; what is written outside of all of them has one cap over the release.
        self._caps = {None: self._caps[None]} if None in self._caps else {}
        # The append under way, and the one that takes what waits now. No more: a process
        # that a command left behind may go on writing for ever.
        for _ in range(2):
            self._end_pause()
            await self._appended()

    def _enqueue(self, piece: Piece) -> None:
        for start in range(0, max(1, len(piece.data)), EVENT_BYTES):
            part = piece._replace(
                data=piece.data[start : start + EVENT_BYTES],
                omitted_bytes=0 if start else piece.omitted_bytes,
            )
            if not (self._pending and self._pending[-1].merge(part)):
                self._pending.append(_Event(part, [part.data], len(part.data)))
        self._pending_bytes += len(piece.data)

    def _append_pending(self) -> None:
        """Append all that waits. While an append is under way, or more is gathered, it comes back later."""
        self._raise_error()
        gathering = self._pause is not None and self._pending_bytes < FLOOD_BYTES
        if self._under_way is None and self._pending and not gathering:
            if self._pending_bytes >= EVENT_BYTES and self._pause is None:
                self._pause = asyncio.get_running_loop().call_later(FLOOD_PAUSE, self._end_pause)
            self._under_way = self._append([event.appendable() for event in self._pending])
            self._under_way.add_done_callback(self._on_appended)
            self._pending = []
            self._pending_bytes = 0

    def _end_pause(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        if self._error is None:
            self._append_pending()

    def _on_appended(self, appended: asyncio.Future[Receipt]) -> None:
        self._under_way = None
        self._error = appended.exception()
        if self._error is None:
            crash_point(CrashPoint.OUTPUT_STORED)
            self._append_pending()

    async def _appended(self) -> None:
        """Wait for the append under way."""
        if self._under_way is not None:
            # Not awaited itself: a cancelled await would cancel it.
            await asyncio.wait({self._under_way})
        self._raise_error()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error


@dataclass
class _Event:
    """An event in the making."""

    head: Piece
    parts: list[bytes] = field(default_factory=list)
    size: int = 0

    def merge(self, piece: Piece) -> bool:
        """Take in the next piece, if it belongs here and there is room."""
        same = (piece.command_index, piece.stream) == (self.head.command_index, self.head.stream)
        fits = same and not piece.omitted_bytes and self.size + len(piece.data) <= EVENT_BYTES
        if fits:
            self.parts.append(piece.data)
            self.size += len(piece.data)
        return fits

    def appendable(self) -> tuple[CommandOutput, bytes]:
        body = CommandOutput(
            stream=self.head.stream,
            command_index=self.head.command_index,
            omitted_bytes=self.head.omitted_bytes,
        )
        return body, b"".join(self.parts)
