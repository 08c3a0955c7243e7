"""Migration 2: the events of before get their places in the hash chain; projections are derived again."""

import sqlite3

from released.audit.chain import GENESIS
from released.audit.rows import Rows
from released.errors import StoredDataError
from released.model.events import AnyBody, decode, kind_of
from released.model.receipt import Receipt

AT_ONCE = 100
"""Bounds what is in memory: 64 KiB of output for each event at most."""

_BEFORE = """
    SELECT sequence, release_id, event_time, kind, body, bytes
    FROM events_before LEFT JOIN outputs_before USING (sequence) ORDER BY sequence
"""


_ORPHANS = (
    "SELECT min(sequence) FROM outputs_before WHERE sequence NOT IN (SELECT sequence FROM events_before)"
)


def rechain(connection: sqlite3.Connection) -> None:
    """Move all events into the tables of schema 2.

    Raises StoredDataError if one can't be understood, or is missing: a digest must not vouch for that.
    """
    ((orphan,),) = connection.execute(_ORPHANS)
    if orphan is not None:
        raise _refusal(orphan, "only its output is there")
    head = Receipt(0, GENESIS)
    before = connection.execute(_BEFORE)
    while batch := before.fetchmany(AT_ONCE):
        rows = Rows(head)
        for sequence, release_id, event_time, kind, text, output in batch:
            if sequence != rows.head.sequence + 1:
                raise _refusal(sequence, f"the one before is missing, {rows.head.sequence + 1}")
            body = _understood(sequence, kind, text)
            rows.add(release_id, event_time, kind, body, text, output)
        for sql, parameters in rows.statements():
            connection.executemany(sql, parameters)
        head = rows.head
    connection.execute("DROP TABLE outputs_before")
    connection.execute("DROP TABLE events_before")


def _understood(sequence: int, kind: str, text: str) -> AnyBody:
    try:
        body = decode(text)
    except ValueError as error:
        raise _refusal(sequence, str(error)) from error
    if kind_of(body) != kind:
        raise _refusal(sequence, f"it is stored as {kind}, and says that it is {kind_of(body)}")
    return body


def _refusal(sequence: int, reason: str) -> StoredDataError:
    return StoredDataError(
        f"event {sequence} of the audit log can't be taken into the hash chain: {reason}: look at the log "
        "with the version that wrote it (`releasectl audit verify`), or restore a backup"
    )
