"""What is verified of applications' settings: each row is what the newest event of its application says.

Behind the checkpoint of the events there is one of every application that has a row: retention says
once more what would go.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from released.audit.projections import KEYS, SETTINGS, Insert, Row, project
from released.audit.verification.findings import MOST_PROBLEMS, Distrust, Problem
from released.model.events import CommandsChanged, decode

COLUMNS = ("commands", "sequence")
"""Behind the key."""

_STORED = f"SELECT {', '.join((*KEYS[SETTINGS], *COLUMNS))} FROM {SETTINGS} ORDER BY 1"  # noqa: S608 - our names

_CHANGED = """
    SELECT sequence, event_time, body FROM events
    WHERE release_id = '' AND kind = 'commands_changed' AND sequence > ? ORDER BY sequence DESC
"""
"""By an index: the daemon's own events are few."""

LONGEST_VALUE = 100
"""Characters of a value that is shown."""


class SettingsProblem(NamedTuple):
    """What is wrong with a row, and the events that it goes by."""

    problem: Problem
    sequences: tuple[int, ...]

    def is_consequence(self, distrust: Distrust) -> bool:
        """Whether one of these events is known to be wrong, so that the row may be right."""
        return any(distrust.concerns(sequence, sequence) for sequence in self.sequences)


def problems(connection: sqlite3.Connection, base: int) -> Iterator[Problem | SettingsProblem]:
    """Compare what is stored with what the newest events behind `base` say, of each application."""
    said: dict[str, dict[str, Any]] = {}
    for sequence, time, text in connection.execute(_CHANGED, (base,)):
        change = _understood(Row(sequence, "", time, 0), text)
        if change is None:
            yield Problem("the event about an application's commands makes no sense", sequence)
        else:
            said.setdefault(change.key[0], change.values)
    there = {application: rest for application, *rest in connection.execute(_STORED)}
    count = 0
    for application in sorted(there.keys() | said.keys()):
        for problem in _of_application(application, there.get(application), said.get(application)):
            yield problem
            count += 1
        if count >= MOST_PROBLEMS:
            return


def _of_application(
    application: str, stored: list[Any] | None, said: dict[str, Any] | None
) -> Iterator[SettingsProblem]:
    name = f"{SETTINGS}: {application}"
    if said is None:
        sequences = (stored[1],) if stored else ()
        yield SettingsProblem(Problem(f"{name} is there, and no event says so"), sequences)
    elif stored is None:
        problem = Problem(f"{name} is missing", said["sequence"])
        yield SettingsProblem(problem, (said["sequence"],))
    else:
        for column, is_ in zip(COLUMNS, stored, strict=True):
            if is_ != said[column]:
                text = f"{column} is {_shown(is_)}, by the events {_shown(said[column])}"
                problem = Problem(f"{name}: {text}", said["sequence"])
                yield SettingsProblem(problem, (said["sequence"], stored[1]))


def _understood(row: Row, text: str) -> Insert | None:
    """What an event says of the table."""
    try:
        body = decode(text)
    except ValueError:
        return None
    if not isinstance(body, CommandsChanged):
        return None
    (change,) = project(body, row)
    return change if isinstance(change, Insert) else None


def _shown(value: Any) -> str:
    return f"{value!s:.{LONGEST_VALUE}}"
