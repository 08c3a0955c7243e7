"""Changes of the projections as SQL."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

from released.audit.projections import KEYS, Change, Insert


class Statement(NamedTuple):
    """A statement and its parameters."""

    sql: str
    parameters: tuple[Any, ...]


def statement(change: Change) -> Statement:
    """Return the statement that makes a change."""
    key, values = KEYS[change.table], change.values
    if isinstance(change, Insert):
        return Statement(_insert(change.table, (*key, *values)), (*change.key, *values.values()))
    sql = _update(change.table, key, tuple(values), tuple(change.added), change.unless_set)
    return Statement(sql, (*values.values(), *change.added.values(), *change.key))


def runs(changes: Iterable[Change]) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Join neighbours of the same SQL, so that each run is one call. The order is kept."""
    for sql, run in groupby(map(statement, changes), key=lambda each: each.sql):
        yield sql, [each.parameters for each in run]


# The names come from the projections: neither a caller nor a stored event has a say in them.


@lru_cache
def _insert(table: str, columns: Sequence[str]) -> str:
    marks = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})"  # noqa: S608


@lru_cache
def _update(
    table: str, key: Sequence[str], columns: Sequence[str], added: Sequence[str], unless_set: str
) -> str:
    changes = [f"{column} = ?" for column in columns] + [f"{column} = {column} + ?" for column in added]
    conditions = [f"{column} = ?" for column in key] + [f"{unless_set} IS NULL"] * bool(unless_set)
    condition = " AND ".join(conditions)
    return f"UPDATE {table} SET {', '.join(changes)} WHERE {condition}"  # noqa: S608
