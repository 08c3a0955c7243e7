"""What is verified of pruning: where it has ended, by the events, and what is left in front of that.

Whoever prunes appends an event that says up to where, and then deletes rows: releases, output, and
events from the oldest on. So in front of a checkpoint there are no events, or the newest ones, without
gaps; and as long as a release is left, all of them are.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from released.audit.chain import GENESIS
from released.audit.projections import Insert, Row, project
from released.audit.times import as_time
from released.audit.verification.findings import Problem, Pruned
from released.model.events import decode, kind_of
from released.model.receipt import Receipt

START = Receipt(0, GENESIS)
"""What the first event follows."""

COLUMNS = ("subject", "through_sequence", "digest", "sequence")

EVENTS = "events"
OUTPUT = "output"

_PRUNED = """
    SELECT sequence, event_time, body FROM events
    WHERE release_id = '' AND kind = ? AND sequence > ? ORDER BY sequence DESC
"""
"""By an index: the daemon's own events are few."""

Values = tuple[Any, ...]


class Pruning(NamedTuple):
    """What the newest event about pruning says."""

    checkpoint: Values
    """What has to be stored."""
    time: int
    """Microseconds since 1970-01-01 UTC."""

    @property
    def subject(self) -> str:
        """What was pruned."""
        return str(self.checkpoint[0])

    def event(self) -> Pruned:
        """The event as it is reported."""
        try:
            time = as_time(self.time)
        except OverflowError:
            time = None
        return Pruned(self.sequence, f"{self.subject}_pruned", time, self.through_sequence)

    @property
    def through_sequence(self) -> int:
        """The last event that may be gone, or whose output may be."""
        return int(self.checkpoint[1])

    @property
    def sequence(self) -> int:
        """The event that says so."""
        return int(self.checkpoint[3])


def stored(connection: sqlite3.Connection) -> list[Values] | None:
    """All that is stored in the table, None if it can't be read."""
    sql = f"SELECT {', '.join(COLUMNS)} FROM checkpoints ORDER BY subject"  # noqa: S608 - names of ours
    try:
        return connection.execute(sql).fetchall()
    except sqlite3.DatabaseError:
        return None


def base_of(checkpoints: Sequence[Values]) -> Receipt:
    """What the first event behind the pruned ones follows, by what is stored."""
    for subject, through, digest, _ in checkpoints:
        if subject == EVENTS and isinstance(through, int) and through > 0:
            return Receipt(through, digest if isinstance(digest, bytes) else b"")
    return START


def prunings(connection: sqlite3.Connection, base: int) -> Iterator[Pruning | Problem]:
    """Yield what events behind `base`, which the chain vouches for, say of pruning, for each subject."""
    for subject in (EVENTS, OUTPUT):
        kind = f"{subject}_pruned"
        for sequence, time, text in connection.execute(f"{_PRUNED} LIMIT 1", (kind, base)):
            pruning = _understood(kind, Row(sequence, "", time, 0), text)
            if pruning is None or pruning.through_sequence >= sequence:
                yield Problem("the event about pruning makes no sense", sequence)
            else:
                yield pruning


def problems(checkpoints: Sequence[Values], said: Mapping[str, Pruning], base: int) -> Iterator[Problem]:
    """Compare what is stored with what the newest events say, of each subject."""
    there = {row[0]: row for row in checkpoints}
    for subject in sorted(there.keys() | said.keys(), key=str):
        row, pruning = there.get(subject), said.get(subject)
        if pruning is None:
            if not _is_of_pruned_event(there[subject], base):
                yield Problem(f"checkpoints: {subject} is there, and no event says so")
        elif row is None:
            yield Problem(f"checkpoints: {subject} is missing", pruning.sequence)
        else:
            for column, is_, said_ in zip(COLUMNS, row, pruning.checkpoint, strict=True):
                if is_ != said_:
                    text = f"{column} is {_shown(is_)}, by the events {_shown(said_)}"
                    yield Problem(f"checkpoints: {subject}: {text}", pruning.sequence)


def beginning(connection: sqlite3.Connection, base: Receipt) -> tuple[int, bytes | None]:
    """Sequence and digest of what the first event that is there follows, be it in front of `base`.

    No digest: nothing says what it was, since some of the events in front are gone already.
    """
    (first,) = connection.execute("SELECT min(sequence) FROM events WHERE sequence > 0").fetchone()
    if first is None or first > base.sequence:
        return base
    before = first - 1
    if not before:
        return START
    for sequence, time, text in connection.execute(_PRUNED, (f"{EVENTS}_pruned", before)):
        pruning = _understood(f"{EVENTS}_pruned", Row(sequence, "", time, 0), text)
        if pruning and pruning.through_sequence == before:
            return before, pruning.checkpoint[2]
    return before, None


def _understood(kind: str, row: Row, text: str) -> Pruning | None:
    try:
        body = decode(text)
        changes = list(project(body, row)) if kind_of(body) == kind else []
    except ValueError:
        return None
    for change in changes:
        if isinstance(change, Insert):
            return Pruning((*change.key, *(change.values[column] for column in COLUMNS[1:])), row.time)
    return None


def _is_of_pruned_event(row: Values, base: int) -> bool:
    """Whether the event that a checkpoint of output is made of may be gone: with all that it is about."""
    subject, through, digest, sequence = row
    numbers = isinstance(through, int) and isinstance(sequence, int)
    return subject == OUTPUT and digest is None and numbers and 0 < through < sequence <= base


def _shown(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
