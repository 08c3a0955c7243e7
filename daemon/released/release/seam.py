"""The seam between what is stored of a container's output and what the engine's log has of it.

A daemon that comes back reads the engine's log from its beginning, finds there what it has
stored, and goes on where that ends. Where the log differs (an engine that was killed loses
its last lines, some log drivers alter bytes), whole lines are what it is aligned by.
"""

import asyncio
import codecs
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

from released.model.events import OutputLost, OutputRealigned
from released.model.states import Stream
from released.release.journal import Journal
from released.release.output import OutputRecorder

WINDOW_BYTES = 1024 * 1024
"""How far ahead in what is stored a line of the log is looked for."""

LACKS_HEAD = "the engine's log of the container has lost its beginning, by which it is aligned"

HELD_BYTES = 64 * 1024
"""How much of the log may differ from what is stored before it is taken for new."""


_REPLACED = "\N{REPLACEMENT CHARACTER}"


class StoredPiece(NamedTuple):
    """Stored output, and how many bytes were left out before it."""

    data: bytes
    omitted_bytes: int = 0


Stored = Callable[[int | None, Stream], AsyncIterator[StoredPiece]]
"""What is stored of a command (None: outside of every command) and a stream, in order."""


class Seam:
    """Passes on to the recorder what of the engine's log is not stored yet."""

    def __init__(
        self,
        stored: Stored,
        recorder: OutputRecorder,
        journal: Journal,
        finished: frozenset[int],
        may_lack_head: bool,
    ) -> None:
        self._stored = stored
        self._recorder = recorder
        self._journal = journal
        self._finished = finished
        """Commands whose result is stored: all of their output was before."""
        self._may_lack_head = may_lack_head
        self._cursors: dict[tuple[int | None, Stream], Cursor] = {}
        self._all_new: set[tuple[int | None, Stream]] = set()

    def take_for_new(self, command_index: int | None, stream: Stream) -> None:
        """Compare nothing more with what is stored: the log was put aside up to what is new."""
        self._all_new.add((command_index, stream))

    def compare(self, command_index: int, stream: Stream) -> None:
        """Compare again with what is stored: the log has the command's start."""
        self._all_new.discard((command_index, stream))

    async def settle(self, command_index: int, stream: Stream) -> None:
        """Record what was held back: the command has written no more."""
        if cursor := self._cursors.get((command_index, stream)):
            await self._record(command_index, stream, cursor.finish())

    async def write(self, command_index: int | None, stream: Stream, data: bytes) -> None:
        """Record what is new of these bytes of the log."""
        if command_index in self._finished:
            return
        key = command_index, stream
        if key in self._all_new:
            await self._record(command_index, stream, data)
            return
        if key not in self._cursors:
            self._cursors[key] = Cursor(self._stored(*key), self._may_lack_head)
        await self._record(command_index, stream, await self._cursors[key].feed(data))

    async def finish(self) -> None:
        """Record what was held back, and what had to be done: the log has no more. May be called twice."""
        for (command_index, stream), cursor in self._cursors.items():
            await self._record(command_index, stream, cursor.finish())
            if cursor.lacks_head:
                self._journal.note(OutputLost(stream=stream, command_index=command_index, reason=LACKS_HEAD))
            elif cursor.missing_bytes or cursor.altered_bytes:
                self._journal.note(
                    OutputRealigned(
                        stream=stream,
                        command_index=command_index,
                        missing_bytes=cursor.missing_bytes,
                        altered_bytes=cursor.altered_bytes,
                    )
                )
        self._cursors.clear()

    async def _record(self, command_index: int | None, stream: Stream, data: bytes) -> None:
        if data:
            await self._recorder.write(command_index, stream, data)


class Cursor:
    """Goes through what is stored of one stream, side by side with the engine's log of it."""

    def __init__(self, stored: AsyncIterator[StoredPiece], may_lack_head: bool = False) -> None:
        self._stored = stored
        self._may_lack_head = may_lack_head
        self._ahead = bytearray()  # whose head can be cut off without a copy
        """Stored, and not found in the log yet."""
        self._next: StoredPiece | None = None
        """What follows `_ahead`, behind bytes that were left out."""
        self._exhausted = False
        self._aligned = False
        self._passed = False
        self._held: list[bytes] = []
        """Lines of the log that differ from what is stored: altered there, or new."""
        self._held_bytes = 0
        self._behind_held = 0
        """Where in `_ahead` as many lines end as are held."""
        self.lacks_head = False
        """The log does not begin where what is stored does: nothing of it can be used."""
        self.missing_bytes = 0
        self.altered_bytes = 0

    async def feed(self, data: bytes) -> bytes:
        """Return what is new of the next bytes of the log."""
        new: list[bytes] = []
        while data and not self._passed and not self.lacks_head:
            await self._load(len(data))
            if not self._ahead and self._next:
                data = self._skip_omitted(data)
            elif not self._ahead:
                self._passed = True
            else:
                piece, data = self._common_piece(data)
                new.append(await self._take(piece))
        return b"" if self.lacks_head else b"".join(new) + data

    def finish(self) -> bytes:
        """Return what was held back: the log has no more."""
        return self._give_up() if self._held else b""

    def _common_piece(self, data: bytes) -> tuple[bytes, bytes]:
        """Split off as much as can be looked at at once: what is equal, or else a line."""
        size = min(len(data), len(self._ahead))
        if not self._held and data.startswith(bytes(self._ahead[:size])):
            return data[:size], data[size:]
        end = data.find(b"\n") + 1 or len(data)
        return data[:end], data[end:]

    async def _take(self, piece: bytes) -> bytes:
        """Return what is new of a piece that was split off."""
        if self._behind_held == 0 and self._ahead.startswith(piece):
            self._advance(len(piece))
            return b""
        if self._ends_with_ahead(piece):
            return self._pass(len(self._ahead), piece)
        line = bytes(self._ahead[: self._ahead.find(b"\n") + 1])
        if line and not self._held and as_altered(line) == piece:
            self.missing_bytes += len(line)
            self.altered_bytes += len(piece)
            self._advance(len(line))
            return b""
        return await self._realign(piece)

    async def _realign(self, line: bytes) -> bytes:
        """Look for a line further on in what is stored; hold it back if it is not there."""
        await self._load(WINDOW_BYTES)
        await asyncio.sleep(0)  # a log that differs in many lines is no reason to keep others waiting
        # Each line that is held stands for a stored one, or is new: then there is none for it.
        found = self._ahead.find(b"\n" + line, max(0, self._behind_held - 1))
        if found >= 0:
            self.missing_bytes += found + 1
            self._advance(found + 1 + len(line))
            return b""
        last = self._ahead.rfind(b"\n") + 1
        lost_lines = 0 < last < len(self._ahead) and self._at_end and not self._held
        if lost_lines and line.startswith(bytes(self._ahead[last:])):
            self.missing_bytes += last
            return self._pass(len(self._ahead) - last, line)
        if self._may_lack_head and not self._aligned:
            self.lacks_head = True
            return b""
        return self._hold(line)

    def _hold(self, line: bytes) -> bytes:
        """Keep a line until it is known what it is; if it and those before it are new, return them."""
        self._held.append(line)
        self._held_bytes += len(line)
        if line.endswith(b"\n"):
            end = self._ahead.find(b"\n", self._behind_held) + 1
            self._behind_held = end or len(self._ahead)
        none_left = self._at_end and self._behind_held == len(self._ahead)
        return self._give_up() if none_left or self._held_bytes > HELD_BYTES else b""

    def _ends_with_ahead(self, piece: bytes) -> bool:
        """Whether the last that is stored is the head of this piece."""
        return self._at_end and not self._held and piece.startswith(bytes(self._ahead))

    def _advance(self, size: int) -> None:
        self.altered_bytes += self._held_bytes
        self._held.clear()
        self._held_bytes = self._behind_held = 0
        del self._ahead[:size]
        self._aligned = True

    def _pass(self, size: int, piece: bytes) -> bytes:
        """Leave what is stored behind, whose last `size` bytes begin this piece."""
        self._advance(len(self._ahead))
        self._passed = True
        return piece[size:]

    def _give_up(self) -> bytes:
        """Take what was held back for new, and everything after it."""
        self.missing_bytes += len(self._ahead)
        self._passed = True
        held, self._held = b"".join(self._held), []
        return held

    @property
    def _at_end(self) -> bool:
        """Whether there is nothing stored behind `_ahead`."""
        return self._exhausted and self._next is None

    def _skip_omitted(self, data: bytes) -> bytes:
        """Leave out of the log what was left out of what is stored."""
        piece = self._next or StoredPiece(b"")
        skipped = min(len(data), piece.omitted_bytes)
        self._next = piece._replace(omitted_bytes=piece.omitted_bytes - skipped)
        if self._next.omitted_bytes == 0:
            self._ahead, self._next = bytearray(piece.data), None
        return data[skipped:]

    async def _load(self, size: int) -> None:
        """Have `size` bytes ahead, if so many are stored before the next that were left out."""
        while len(self._ahead) < size and self._next is None and not self._exhausted:
            piece = await anext(self._stored, None)
            if piece is None:
                self._exhausted = True
            elif piece.omitted_bytes:
                self._next = piece
            else:
                self._ahead += piece.data


def as_altered(line: bytes) -> bytes:
    """What the log driver `json-file` makes of a line: U+FFFD of each byte that is not UTF-8.

    Docker Engine, daemon/logger/jsonfilelog/jsonlog/jsonlogbytes.go.
    """
    return line.decode(errors=_replace_bytes.__name__).encode()


def _replace_bytes(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _REPLACED * (error.end - error.start), error.end


codecs.register_error(_replace_bytes.__name__, _replace_bytes)
