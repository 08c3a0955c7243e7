"""Verifying the output of events: what is stored against the digests that the events have of it."""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from released.audit.chain import output_digest_of
from released.audit.compression import unpack
from released.audit.verification.source import text_of

ALTERED_OUTPUT = "the output of the event is not what its digest vouches for"
MISSING_OUTPUT = "the output of the event is missing"
UNREADABLE_OUTPUT = "the output of the event can't be read"
ORPHANED_OUTPUT = "output is stored for an event that is not there or has none"

_ALL = "SELECT sequence, encoding, data FROM outputs WHERE sequence > ? AND sequence <= ? ORDER BY sequence"
_SEQUENCES = "SELECT sequence FROM outputs WHERE sequence > ? AND sequence <= ? ORDER BY sequence"
_ONE = "SELECT sequence, encoding, data FROM outputs WHERE sequence = ?"

Stored = tuple[int, str, bytes]
"""A row: sequence, encoding, data."""


class Expected(NamedTuple):
    """What the events after one, through another, say of their output."""

    after: int
    through: int
    digests: Mapping[int, bytes]
    """By sequence, of the events that have output."""
    pruned_through: int
    """So far, it may be missing."""


class OutputVerification:
    """Looks at the output of some events."""

    def __init__(self, connection: sqlite3.Connection, expected: Expected) -> None:
        self._connection = connection
        self._expected = expected
        self._left: dict[int, bytes] = {}
        """Digests of what has not been seen."""
        self.troubles: list[tuple[str, int]] = []
        """What is wrong, each with the sequence of the event."""
        self.errors: list[sqlite3.DatabaseError] = []
        """What came up when it was read one by one."""

    def run(self) -> None:
        """Look at all of it; if that can't be read, at one after the other."""
        try:
            self._compare(self._connection.execute(_ALL, self._expected[:2]))
        except sqlite3.DatabaseError:
            self.troubles.clear()
            self._connection.text_factory = text_of
            self._compare(self._one_by_one())

    def _compare(self, rows: Iterable[Stored]) -> None:
        """Compare what is stored. This runs for each of millions of rows."""
        left = self._left = dict(self._expected.digests)
        for sequence, encoding, data in rows:
            digest = left.pop(sequence, None)
            if digest is None:
                self.troubles.append((ORPHANED_OUTPUT, sequence))
                continue
            try:
                altered = output_digest_of(unpack(encoding, data)) != digest
            except (TypeError, ValueError):
                altered = True
            if altered:
                self.troubles.append((ALTERED_OUTPUT, sequence))
        pruned_through = self._expected.pruned_through
        self.troubles += [(MISSING_OUTPUT, sequence) for sequence in left if sequence > pruned_through]

    def _one_by_one(self) -> Iterator[Stored]:
        for sequence in self._sequences():
            try:
                yield from self._connection.execute(_ONE, (sequence,)).fetchall()
            except sqlite3.DatabaseError as error:
                self.errors.append(error)
                self.troubles.append((UNREADABLE_OUTPUT, sequence))
                self._left.pop(sequence, None)

    def _sequences(self) -> list[int]:
        """Of what is stored; if that can't be found, of what should be."""
        try:
            return [sequence for (sequence,) in self._connection.execute(_SEQUENCES, self._expected[:2])]
        except sqlite3.DatabaseError as error:
            self.errors.append(error)
            return list(self._expected.digests)
