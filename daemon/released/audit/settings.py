"""Where the log has what applications' settings are: in events, the newest of each application counts."""

import sqlite3

from msgspec.structs import replace

from released.model.events import AnyBody, CommandsChanged, decode
from released.model.settings import ApplicationSettings

SETTINGS = """
    SELECT command_settings.sequence, body
    FROM command_settings LEFT JOIN events ON events.sequence = command_settings.sequence
    WHERE command_settings.application = ?
"""
"""By the table that says which event it is; what counts is the event, which the chain vouches for."""

NEWEST = """
    SELECT max(sequence) AS sequence, body,
    CASE WHEN json_valid(body) THEN body ->> 'application' END AS named
    FROM events WHERE release_id = '' AND kind = 'commands_changed' GROUP BY named
"""
"""By the events alone: of each application the newest one. Beside max(), SQLite gives that row's body."""

EXPIRING = f"""
    SELECT newest.sequence, named, body, command_settings.sequence AS row_sequence
    FROM ({NEWEST}) AS newest LEFT JOIN command_settings ON application = named
    WHERE newest.sequence <= ? ORDER BY 1
"""  # noqa: S608 - no input
"""What is to be said once more when all events up to one go."""

CHANGES = """
    SELECT * FROM events
    WHERE release_id = '' AND sequence <= ? AND kind = 'commands_changed' AND body ->> 'application' = ?
    ORDER BY sequence DESC LIMIT ?
"""

CHANGES_AT_ONCE = 8
"""Of more than a MiB each at most."""


def settings_of(row: sqlite3.Row, application: str) -> ApplicationSettings:
    """Return what a row of SETTINGS says. Raises TypeError and ValueError for one that makes no sense."""
    changed = changed_settings(row["body"] or "")
    if changed.application != application:
        raise TypeError(f"event {row['sequence']} of the audit log is about {changed.application}")
    return ApplicationSettings(changed.commands, _change_sequence(changed, row))


def restated(row: sqlite3.Row) -> CommandsChanged:
    """Return what a row of EXPIRING says, to be said once more.

    Raises TypeError and ValueError if it makes no sense, or is not what counts by the table: then the event
    of a later change is there no more as it was written, and nobody wants to go back to what was before it.
    """
    changed = changed_settings(row["body"])
    if (row["row_sequence"] or 0) > row["sequence"]:
        raise ValueError(f"event {row['row_sequence']}, by which they are something else, does not say so")
    return replace(changed, caller=None, changes=(), restated_sequence=_change_sequence(changed, row))


def _change_sequence(changed: CommandsChanged, row: sqlite3.Row) -> int:
    return changed.restated_sequence or int(row["sequence"])


def changed_settings(text: str) -> CommandsChanged:
    """Return the body of an event that says what settings are. Raises TypeError and ValueError."""
    body: AnyBody = decode(text)
    if not isinstance(body, CommandsChanged):
        raise TypeError("an event of the audit log that should say what settings are says something else")
    return body
