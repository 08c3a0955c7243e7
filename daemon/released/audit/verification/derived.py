"""The projections once more: derived from events in memory, to be compared with what is stored."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any, NamedTuple, get_args

from released.audit.database import MIGRATIONS, REST
from released.audit.projections import COMMANDS, LABELS, RELEASES, Change, Insert, Row, project
from released.model import events
from released.model.events import decode, kind_of

KEYS = {
    RELEASES: ("release_id",),
    LABELS: ("release_id", "key"),
    COMMANDS: ("release_id", "command_index"),
}
"""By what events name the rows of each table, in the order of its columns."""

TABLES = tuple(KEYS)

ACCEPTED = "release_accepted"
OUTPUT = "command_output"

PROJECTING: Mapping[str, tuple[type, Callable[..., Iterator[Change]]]] = {
    body.__struct_config__.tag: (body, project.dispatch(body))
    for body in get_args(events.Body)
    if project.dispatch(body) is not project.dispatch(object)
}
"""The kinds of events that change the projections of releases: their bodies, and how."""

KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(events.AnyBody))
"""All kinds of events."""

Key = str | tuple[str | int, ...]
"""The primary key of a row: of a release its id, of what belongs to one a tuple that begins with it."""

Values = tuple[Any, ...]

_decode_repeated = lru_cache(maxsize=1000)(decode)
"""Most events of output have one of a few bodies."""


class Table(NamedTuple):
    """A table of the schema."""

    name: str
    key_of: Callable[[Mapping[str, Any]], Key]
    """The key of a row, by the names of its columns,"""
    stored_key_of: Callable[[Values], Key]
    """and by their places."""
    defaults: dict[str, Any]
    """What each column has by default, in the order of the schema."""

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
        expected, changes = PROJECTING[kind]
        if type(body) is not expected:
            return f"the event is stored as {kind} and says {kind_of(body)}"
        for change in changes(body, row):
            if isinstance(change, Insert):
                if trouble := self._insert(change):
                    return trouble
            elif stored := self._rows[change.table].get(self._tables[change.table].key_of(change.key)):
                stored.update(change.values)
                for column, number in change.added.items():
                    stored[column] += number
        return ""

    def _insert(self, change: Insert) -> str:
        rows, table = self._rows[change.table], self._tables[change.table]
        key = table.key_of(change.values)
        if key in rows:
            return f"the event contradicts an earlier one: {change.table} has {name_of(key)} already"
        rows[key] = row = table.defaults.copy()
        row.update(change.values)
        return ""

    def rows(self, table: str) -> Iterator[tuple[Key, Values]]:
        """Yield the rows of a table, each with its key, all columns in the order of the schema."""
        for key, row in self._rows[table].items():
            yield key, (*row.values(),)


def release_of(key: Key) -> str:
    """The id of the release that a row belongs to."""
    return str(key[0]) if isinstance(key, tuple) else str(key)


def name_of(key: Key) -> str:
    """A row's key for a person."""
    return " ".join(map(str, key)) if isinstance(key, tuple) else str(key)


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
    places = [number for number, column, *_ in columns if column in KEYS[name]]
    defaults = {column: _value(connection, default or "NULL") for _, column, _, _, default, _ in columns}
    return Table(name, itemgetter(*KEYS[name]), itemgetter(*places), defaults)


def _value(connection: sqlite3.Connection, literal: str) -> Any:
    return connection.execute(f"SELECT {literal}").fetchone()[0]
