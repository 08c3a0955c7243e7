"""The projections once more: derived from events in memory, to be compared with what is stored."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from typing import Any, NamedTuple, get_args

import msgspec

from released.audit.database import MIGRATIONS, REST
from released.audit.projections import COMMANDS, KEYS, LABELS, RELEASES, Change, Insert, Row, project
from released.model import events
from released.model.events import decode, kind_of

TABLES = (RELEASES, LABELS, COMMANDS)

ACCEPTED = "release_accepted"
OUTPUT = "command_output"


class Projecting(NamedTuple):
    """How events of a kind change the projections of releases."""

    decode: Callable[[str], events.AnyBody]
    """Of events of that kind only, which is faster. Raises ValueError."""
    changes: Callable[[events.AnyBody, Row], Sequence[Change]]


PROJECTING: Mapping[str, Projecting] = {
    body.__struct_config__.tag: Projecting(msgspec.json.Decoder(body).decode, project.dispatch(body))
    for body in get_args(events.Body)
    if project.dispatch(body) is not project.dispatch(object)
}
"""By kind; other kinds change nothing."""

KINDS = frozenset(kind.__struct_config__.tag for kind in get_args(events.AnyBody))
"""All kinds of events."""

Key = tuple[str | int, ...]
"""The primary key of a row: the id of a release, and for what belongs to one also what it is there."""

Values = tuple[Any, ...]


class Table(NamedTuple):
    """A table of the schema."""

    name: str
    columns: tuple[str, ...]
    """In the order of the schema, those of the key first."""
    defaults: dict[str, Any]
    """What each of the others has by default."""

    @property
    def selected(self) -> str:
        """All that is stored, in order, for a query."""
        return ", ".join(f"{self.name}.{column}" for column in self.columns)

    def key_of(self, stored: Values) -> Key:
        """The key of a row."""
        return stored[: len(KEYS[self.name])]


class Derived:
    """Rows of the projections, as events add up to them."""

    def __init__(self) -> None:
        self._defaults = {name: table.defaults for name, table in tables().items()}
        self._rows: dict[str, dict[Key, dict[str, Any]]] = {name: {} for name in TABLES}

    def add(self, kind: str, text: str, row: Row) -> str:
        """Make the changes of an event of a kind that has some. Say what is wrong with it, or nothing."""
        decode_kind, changes = PROJECTING[kind]
        try:
            body = decode_kind(text)
        except ValueError:
            return _trouble(kind, text)
        for change in changes(body, row):
            rows = self._rows[change.table]
            if type(change) is Insert:
                if change.key in rows:
                    name = name_of(change.key)
                    return f"the event contradicts an earlier one: {change.table} has {name} already"
                rows[change.key] = self._defaults[change.table] | change.values
            elif (stored := rows.get(change.key)) and not (
                change.unless_set and stored[change.unless_set] is not None
            ):
                stored.update(change.values)
                if change.added:
                    for column, number in change.added.items():
                        stored[column] += number
        return ""

    def rows(self, table: str) -> Iterator[tuple[Key, Values]]:
        """Yield the rows of a table, each with its key, all columns in the order of the schema."""
        for key, row in self._rows[table].items():
            yield key, (*key, *row.values())

    def take_stored(self, table: str, stored: Iterable[Values]) -> Iterator[str]:
        """Take those rows of a table from here that are stored; yield the releases of all others stored."""
        rows, size = self._rows[table], len(KEYS[table])
        for values in stored:
            derived = rows.pop(values[:size], None)
            if derived is None or (*derived.values(),) != values[size:]:
                yield release_of(values)

    def releases(self, table: str) -> Iterator[str]:
        """Yield the releases that rows of a table belong to."""
        return map(release_of, self._rows[table])


def _trouble(kind: str, text: str) -> str:
    """Say why an event is not of the kind that it is stored as."""
    try:
        return f"the event is stored as {kind} and says {kind_of(decode(text))}"
    except ValueError as error:
        return f"the event can't be understood: {error}"


def release_of(key: Key) -> str:
    """The id of the release that a row belongs to."""
    return str(key[0])


def name_of(key: Key) -> str:
    """A row's key for a person."""
    return " ".join(map(str, key))


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
    described = connection.execute(f"PRAGMA table_info({name})").fetchall()
    columns = {column: default for _, column, _, _, default, _ in described}
    defaults = {
        column: _value(connection, default or "NULL")
        for column, default in columns.items()
        if column not in KEYS[name]
    }
    return Table(name, tuple(columns), defaults)


def _value(connection: sqlite3.Connection, literal: str) -> Any:
    return connection.execute(f"SELECT {literal}").fetchone()[0]
