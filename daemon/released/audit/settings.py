"""Where the log has what applications' settings are: in events, the newest of each application counts."""

import sqlite3

from released.model.events import AnyBody, CommandsChanged, decode
from released.model.settings import ApplicationSettings

SETTINGS = """
    SELECT command_settings.sequence, body
    FROM command_settings LEFT JOIN events ON events.sequence = command_settings.sequence
    WHERE command_settings.application = ?
"""
"""By the table that says which event it is; what counts is the event, which the chain vouches for."""

NEWEST = """
    SELECT max(sequence) AS sequence, body FROM events
    WHERE release_id = '' AND kind = 'commands_changed' GROUP BY body ->> 'application'
"""
"""By the events alone: of each application the newest one. Beside max(), SQLite gives that row's body."""

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
    return ApplicationSettings(changed.commands, row["sequence"])


def changed_settings(text: str) -> CommandsChanged:
    """Return the body of an event that says what settings are. Raises TypeError and ValueError."""
    body: AnyBody = decode(text)
    if not isinstance(body, CommandsChanged):
        raise TypeError("an event of the audit log that should say what settings are says something else")
    return body
