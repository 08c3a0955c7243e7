"""How what meets a condition is found: by an index that leaves little to look through.

SQLite chooses an index without a look at what is asked for: it does not know that nearly all releases
succeeded, and that one user called twice. So what a filter implies is counted first, up to a limit.
"""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from released.audit.filter.condition import Condition, Span

FEW = 2000
"""So many rows are looked at one by one, and sorted, in some milliseconds."""


class Listing(NamedTuple):
    """A table that is listed. Rows that an index has for one value are in their natural order there."""

    table: str
    key: str
    """Its integer primary key, a sequence."""
    natural: str
    """The column that it is in the order of, unless somebody asks for another."""
    pairs: tuple[tuple[str, str], ...] = ()
    """The SQL of spans that are in one index together; none is in two pairs."""


class Order(NamedTuple):
    """The order of a list; rows of the same value are in the order of their sequences."""

    column: str
    """A column, or an expression, as it is in an index."""
    descending: bool


class Place(NamedTuple):
    """Where a row is in a list: by what the list is in the order of, and by its sequence."""

    value: int
    sequence: int


class Query(NamedTuple):
    """SQL and its parameters."""

    sql: str
    parameters: tuple[Any, ...]


class Glance(NamedTuple):
    """What a look at the first rows of an index tells of it."""

    rows: int
    """How many it has, but FEW at most."""
    last: int | None
    """Where in the order the last of those is: the farther, the rarer. None if they are in another order."""


class Search:
    """A question for some rows of a listing that meet a condition: those behind a place in an order."""

    def __init__(self, listing: Listing, condition: Condition, order: Order, after: Place | None) -> None:
        self._listing = listing
        self._order = order
        self._direction = "DESC" if order.descending else "ASC"
        self._bounds, self._candidates = _merged(condition.spans, order.column, listing.pairs)
        self._hidden = [Query(condition.sql, condition.parameters)]
        if after:
            self._bounds.append(Span(f"{order.column} {'<=' if order.descending else '>='} ?", after[:1]))
            comparison = "<" if order.descending else ">"
            # +column is the column, and in no index.
            behind = f"(+{order.column}, +{listing.key}) {comparison} (?, ?)"
            self._hidden.append(Query(behind, tuple(after)))

    def look(self) -> Query | None:
        """Ask for a Glance at each of the indexes in question; None if there is no question."""
        if not self._candidates or (len(self._candidates) == 1 and self._in_order(self._candidates[0])):
            return None
        glances = list(map(self._glance, self._candidates))
        return Query(
            " UNION ALL ".join(sql for sql, _ in glances), tuple(chain(*(each[1] for each in glances)))
        )

    def page(self, glances: Sequence[Glance], limit: int) -> Query:
        """Ask for the places of the next rows, given the answer to `look`, if that was asked."""
        if not self._candidates:
            return self._select(self._bounds, "", limit)
        best = min(range(len(glances)), key=lambda number: self._rank(glances[number]), default=0)
        union = self._candidates[best]
        if self._in_order(union):
            return self._select([*union, *self._bounds], "", limit)
        if glances[best].rows < FEW:
            found = self._found(union)
            keys = Query(f"{self._listing.key} IN ({found.sql})", found.parameters)
            return self._select([keys], "+", limit)
        return self._select(self._bounds, "", limit)

    def _in_order(self, union: Sequence[Span]) -> bool:
        """Whether what is found there is in the order of the list."""
        natural = self._order.column == self._listing.natural
        return natural and len(union) == 1 and not (union[0].column or union[0].source)

    def _rank(self, glance: Glance) -> tuple[int, bool, int]:
        """What is least leaves the least to look through."""
        last = glance.last or 0
        return glance.rows, glance.last is None, last if self._order.descending else -last

    def _glance(self, union: Sequence[Span]) -> Query:
        if not self._in_order(union):
            found = self._found(union)
            return Query(f"SELECT count(*), NULL FROM ({found.sql} LIMIT {FEW})", found.parameters)  # noqa: S608
        column, where = self._order.column, _all([*union, *self._bounds])
        last = "min" if self._order.descending else "max"
        return Query(
            f"SELECT count(*), {last}(place) FROM (SELECT {column} AS place FROM {self._listing.table} "  # noqa: S608
            f"WHERE {where.sql} ORDER BY {column} {self._direction} LIMIT {FEW})",
            where.parameters,
        )

    def _found(self, union: Sequence[Span]) -> Query:
        """The keys of all rows in some spans."""
        key, table = self._listing.key, self._listing.table
        sql = " UNION ALL ".join(
            f"SELECT {key} FROM {span.source or table} WHERE {span.sql}"  # noqa: S608
            for span in union
        )
        return Query(sql, tuple(chain.from_iterable(span.parameters for span in union)))

    def _select(self, found: Sequence[Query | Span], mark: str, limit: int) -> Query:
        """Those of what an index finds that meet the whole of the condition."""
        table, key, column = self._listing.table, self._listing.key, self._order.column
        where = _all([*found, *self._hidden])
        return Query(
            f"SELECT {column} AS place, {key} AS sequence FROM {table} WHERE {where.sql} "  # noqa: S608
            f"ORDER BY {mark}{column} {self._direction}, {mark}{key} {self._direction} LIMIT ?",
            (*where.parameters, limit),
        )


def _merged(
    spans: Iterable[tuple[Span, ...]], column: str, pairs: Iterable[tuple[str, str]]
) -> tuple[list[Query | Span], list[tuple[Span, ...]]]:
    """Join pairs, and ranges of the same column; tell those of one column from all other spans."""
    ranges: dict[str, list[Span]] = {}
    values: dict[str, Span] = {}
    unions = []
    for union in spans:
        (span, *more) = union
        if more or span.source:
            unions.append(union)
        elif span.column:
            ranges.setdefault(span.column, []).append(span)
        else:
            values[span.sql] = span
    bounds: list[Query | Span] = [*ranges.pop(column, ())]
    present = [pair for pair in pairs if values.keys() >= set(pair)]
    joined = [Span(*_all([values.pop(one), values.pop(other)])) for one, other in present]
    joined += [span for span in values.values() if span.alone]
    joined += [Span(*_all(parts), name) for name, parts in ranges.items()]
    return bounds, [*unions, *((span,) for span in joined)]


def _all(parts: Iterable[Query | Span]) -> Query:
    """What meets all of them."""
    parts = list(parts)
    sql = " AND ".join(f"({part.sql})" for part in parts) or "TRUE"
    return Query(sql, tuple(chain.from_iterable(part.parameters for part in parts)))
