"""Verifying releases one by one: all of their events against all that is stored of them."""

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from released.audit.projections import RELEASES, Row
from released.audit.verification.checkpoints import beginning
from released.audit.verification.derived import PROJECTING, TABLES, Derived, Key, Values, name_of, tables
from released.audit.verification.findings import Distrust, Finding, Findings, Problem
from released.audit.verification.parts import damage_of
from released.model.receipt import Receipt

AT_ONCE = 500
"""Releases that one process looks at in one go."""

_EVENTS = """
    SELECT sequence, event_time, kind, body, output_bytes FROM events
    WHERE release_id = ? AND sequence > ? ORDER BY sequence
"""

Rows = dict[Key, Values]


class Settled(NamedTuple):
    """What was found about some releases."""

    findings: list[Finding]
    problems: list[Problem]
    damage: str


def settle(
    connection: sqlite3.Connection, release_ids: Sequence[str], base: Receipt, findings: list[Finding]
) -> Settled:
    """Look at some releases, by their events that were not pruned; of events, `findings` are known."""
    troubles, problems, damage = Findings(), [], ""
    distrust = Distrust(findings)
    for release_id in release_ids:
        try:
            problems += _of_release(connection, release_id, base, distrust, troubles)
        except sqlite3.DatabaseError as error:
            damage = damage or damage_of(error)
            problems.append(Problem(f"the release {release_id} can't be read: {error}"))
    return Settled(list(troubles), problems, damage)


def _of_release(
    connection: sqlite3.Connection,
    release_id: str,
    base: Receipt,
    distrust: Distrust,
    troubles: Findings,
) -> list[Problem]:
    stored = connection.execute(
        f"SELECT accept_sequence, end_sequence FROM {RELEASES} WHERE release_id = ?",  # noqa: S608 - a name of ours
        (release_id,),
    ).fetchone()
    after = base.sequence
    if stored and 0 < stored[0] <= after:
        after = _complete_behind(connection, base)
    derived, sequences = Derived(), []
    for sequence, time, kind, text, size in connection.execute(_EVENTS, (release_id, after)):
        sequences.append(sequence)
        row = Row(sequence, release_id, time, size or 0)
        if kind in PROJECTING and (trouble := derived.add(kind, text, row)):
            troubles.add(trouble, sequence)
            return []
    sequences += [sequence for sequence in stored or () if sequence is not None]
    first = min(sequences, default=None)
    if first is not None and distrust.concerns(first, max(sequences)):
        return []
    if first is not None and first < 1:
        first = None
    return [
        Problem(description, first)
        for table in TABLES
        for description in _differences(
            table, dict(derived.rows(table)), _stored(connection, table, release_id)
        )
    ]


def _complete_behind(connection: sqlite3.Connection, base: Receipt) -> int:
    """From which sequence on no event is gone: releases go first, so as long as one is there, all are."""
    sequence, digest = beginning(connection, base)
    return base.sequence if digest is None else sequence


def _stored(connection: sqlite3.Connection, name: str, release_id: str) -> Rows:
    table = tables()[name]
    rows = connection.execute(
        f"SELECT {table.selected} FROM {name} WHERE release_id = ?",  # noqa: S608 - names of ours
        (release_id,),
    )
    return {table.key_of(row): row for row in rows}


def _differences(table: str, derived: Rows, stored: Rows) -> Iterator[str]:
    for key in sorted(derived.keys() | stored.keys()):
        name = f"{table}: {name_of(key)}"
        if key not in stored:
            yield f"{name} is missing"
        elif key not in derived:
            yield f"{name} is there, and no event says so"
        else:
            for column, is_, should_be in zip(
                tables()[table].columns, stored[key], derived[key], strict=True
            ):
                if is_ != should_be:
                    yield f"{name}: {column} is {_shown(is_)}, by the events {_shown(should_be)}"


def _shown(value: Any) -> str:
    return f"{str(value) if isinstance(value, str) else value!r:.100}"
