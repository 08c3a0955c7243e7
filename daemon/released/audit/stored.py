"""Events as the log stores them, for those who take them elsewhere and verify them there."""

import sqlite3
from typing import NamedTuple, Self

from released.audit.chain import GENESIS
from released.audit.compression import unpack

WITH_OUTPUT = (
    "LEFT JOIN outputs ON outputs.sequence = iif(events.output_digest IS NULL, NULL, events.sequence)"
)
"""Joins events with their output. For one that has none no page of `outputs` is read: it may be damaged."""

_FORM = """
    SELECT events.*, {output},
           coalesce(previous.digest, (
               SELECT digest FROM checkpoints
               WHERE subject = 'events' AND through_sequence = events.sequence - 1
           )) AS previous_digest
    FROM events LEFT JOIN events AS previous ON previous.sequence = events.sequence - 1 {join}
    WHERE {where}
"""


def stored_events(where: str, *, with_output: bool) -> str:
    """The query for rows of StoredEvent that meet an SQL condition on `events`."""
    return _FORM.format(
        where=where,
        output="encoding, data" if with_output else "NULL AS encoding, NULL AS data",
        join=WITH_OUTPUT if with_output else "",
    )


def stored_output(row: sqlite3.Row) -> bytes | None:
    """What is stored beside an event, as it came; None if there is nothing. Raises ValueError."""
    return None if row["data"] is None else unpack(row["encoding"], row["data"])


class StoredEvent(NamedTuple):
    """An event with all that its digest covers."""

    sequence: int
    release_id: str
    event_time: int
    """Microseconds since 1970-01-01 UTC."""
    kind: str
    body: str
    """The JSON text, as it is stored."""
    output_bytes: int | None
    output_digest: bytes
    """Empty for an event without output."""
    output: bytes | None
    """As it came; None also for what was pruned, or not asked for."""
    previous_digest: bytes
    """Empty if the event before is not there, which only damage does."""
    digest: bytes

    @classmethod
    def from_row(cls, row: sqlite3.Row) -> Self:
        """From a row of `stored_events`."""
        sequence = row["sequence"]
        return cls(
            sequence=sequence,
            release_id=row["release_id"],
            event_time=row["event_time"],
            kind=row["kind"],
            body=row["body"],
            output_bytes=row["output_bytes"],
            output_digest=row["output_digest"] or b"",
            output=stored_output(row),
            previous_digest=GENESIS if sequence == 1 else row["previous_digest"] or b"",
            digest=row["digest"],
        )
