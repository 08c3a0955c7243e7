"""What one transaction adds to the database: events, their output, and what follows from them."""

from collections.abc import Iterator
from typing import Any

from released.audit.chain import link, output_digest_of
from released.audit.compression import pack
from released.audit.projections import Change, Row, project
from released.audit.statements import runs
from released.model.events import AnyBody
from released.model.receipt import Receipt


class Rows:
    """Rows that come after the event `head`, which each event added moves on."""

    def __init__(self, head: Receipt) -> None:
        self.head = head
        self._events: list[tuple[Any, ...]] = []
        self._outputs: list[tuple[int, str, bytes]] = []
        self._changes: list[Change] = []

    def add(
        self, release_id: str, event_time: int, kind: str, body: AnyBody, text: str, output: bytes | None
    ) -> None:
        """Add an event whose body is stored as `text`."""
        sequence = self.head.sequence + 1
        size = digest = None
        if output is not None:
            size, digest = len(output), output_digest_of(output)
            self._outputs.append((sequence, *pack(output)))
        chained = link(self.head.digest, sequence, release_id, event_time, kind, text, size, digest)
        self._events.append((sequence, release_id, event_time, kind, text, size, digest, chained))
        self._changes.extend(project(body, Row(sequence, release_id, event_time, size or 0)))
        self.head = Receipt(sequence, chained)

    @property
    def empty(self) -> bool:
        """Whether no event was added."""
        return not self._events

    def statements(self) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
        """Yield statements, each with the parameters of all rows that it is for."""
        if self._events:
            yield "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._events
        if self._outputs:
            yield "INSERT INTO outputs VALUES (?, ?, ?)", self._outputs
        yield from runs(self._changes)
