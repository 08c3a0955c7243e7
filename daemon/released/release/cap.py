"""The cap on a command's output: its head is kept, and the last bytes of its end."""

from collections import Counter, deque
from collections.abc import Iterator
from typing import NamedTuple

from released.model.states import Stream

TAIL_BYTES = 64 * 1024
"""What is kept of the end of output that exceeds its cap."""


class Piece(NamedTuple):
    """Bytes that a command (None: no command) wrote, and how many were left out before them."""

    command_index: int | None
    stream: Stream
    data: bytes
    omitted_bytes: int = 0


class OutputCap:
    """Lets the first `cap_bytes` of a command's output through, both streams together, and keeps a tail."""

    def __init__(self, cap_bytes: int) -> None:
        self._room = cap_bytes
        self._tail: deque[Piece] = deque()
        self._tail_bytes = 0
        self._omitted: Counter[Stream] = Counter()

    def admit(self, piece: Piece) -> Iterator[Piece]:
        """Yield what is to be stored now; the rest may be in the tail."""
        head, rest = piece.data[: self._room], piece.data[self._room :]
        self._room -= len(head)
        if head:
            yield piece._replace(data=head)
        if rest:
            self._tail.append(piece._replace(data=rest))
            self._tail_bytes += len(rest)
            self._trim()

    def close(self) -> Iterator[Piece]:
        """Yield the tail: no more will come. Each stream's first piece says what is missing before it."""
        for piece in self._tail:
            yield piece._replace(omitted_bytes=self._omitted.pop(piece.stream, 0))
            last_index = piece.command_index
        for stream, omitted in self._omitted.items():
            yield Piece(last_index, stream, b"", omitted)
        self._tail.clear()
        self._omitted.clear()
        self._tail_bytes = 0

    def _trim(self) -> None:
        while (excess := self._tail_bytes - TAIL_BYTES) > 0:
            first = self._tail.popleft()
            cut = min(excess, len(first.data))
            self._omitted[first.stream] += cut
            self._tail_bytes -= cut
            if cut < len(first.data):
                self._tail.appendleft(first._replace(data=first.data[cut:]))
