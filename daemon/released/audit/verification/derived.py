"""The projections once more: derived from events in memory, to be compared with what is stored."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache, lru_cache
from typing import Any, NamedTuple, get_args

from released.audit.database import MIGRATIONS, REST
from released.audit.projections import COMMANDS, LABELS, RELEASES, Insert, Row, project
from released.model import events
from released.model.events import decode, kind_of

TABLES = (RELEASES, LABELS, COMMANDS)

ACCEPTED = "release_accepted"
OUTPUT = "command_output"

PROJECTING = {
    kind.__struct_config__.tag: project.dispatch(kind)
    for kind in get_args(events.Body)
    if project.dispatch(kind) is not project.dispatch(object)
}
"""The kinds of events that change the projections of releases, and how."""

KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(events.AnyBody))
"""All kinds of events."""

Key = tuple[Any, ...]
Values = tuple[Any, ...]

_decode_repeated = lru_cache(maxsize=1000)(decode)
"""Most events of output have one of a few bodies."""


class Table(NamedTuple):
    """A table of the schema: the columns of its key, and what each of its columns has by default."""

    name: str
    key: tuple[str, ...]
    defaults: dict[str, Any]

    @property
    def columns(self) -> str:
        """All that is stored, in order, for a query."""
        return ", ".join(f"{self.name}.{column}" for column in self.defaults)


class Derived:
    """Rows of the projections, as events add up to them."""

    def __init__(self) -> None:
        self._tables = tables()
        self._rows: dict[str, dict[Key, dict[str, Any]]] = {name: {} for name in TABLES}

    def add(self, kind: str, text: str, row: Row) -> str:
        """Make the changes of an event of a kind that has some. Say what is wrong with it, or nothing."""
        try:
            body = _decode_repeated(text) if kind == OUTPUT else decode(text)
        except ValueError as error:
            return f"the event can't be understood: {error}"
        if kind_of(body) != kind:
            return f"the event is stored as {kind} and says {kind_of(body)}"
        for change in PROJECTING[kind](body, row):
            rows = self._rows[change.table]
            if isinstance(change, Insert):
                table, values = self._tables[change.table], change.values
                key = tuple([values[column] for column in table.key])
                if key in rows:
                    name = " ".join(map(str, key))
                    return f"the event contradicts an earlier one: {change.table} has {name} already"
                rows[key] = {**table.defaults, **values}
            elif stored := rows.get((*change.key.values(),)):
                stored.update(change.values)
                for column, number in change.added.items():
                    stored[column] += number
        return ""

    def rows(self, table: str) -> Iterator[tuple[Key, Values]]:
        """Yield the rows of a table, each with its key, all columns in the order of the schema."""
        for key, row in self._rows[table].items():
            yield key, (*row.values(),)


@cache
def tables() -> Mapping[str, Table]:
    """The projections' tables, by name, as the schema declares them."""
    with closing(empty_log()) as connection:
        return {name: _table(connection, name) for name in TABLES}


def empty_log() -> sqlite3.Connection:
    """A log without events, in memory."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in MIGRATIONS:
        connection.executescript(migration.read_text())
        if rest := REST.get(migration.name):
            rest(connection)
    return connection


def _table(connection: sqlite3.Connection, name: str) -> Table:
    columns = connection.execute(f"PRAGMA table_info({name})").fetchall()
    # Events name a release by its id; its place in the log is only how its row is found fast.
    key = {
        place: "release_id" if column == "accept_sequence" else column
        for _, column, _, _, _, place in columns
        if place
    }
    defaults = {column: _value(connection, default or "NULL") for _, column, _, _, default, _ in columns}
    return Table(name, tuple(key[place] for place in sorted(key)), defaults)


def _value(connection: sqlite3.Connection, literal: str) -> Any:
    return connection.execute(f"SELECT {literal}").fetchone()[0]
