"""What a filter is compiled to: an SQL condition, and what of it an index can find."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple


class Span(NamedTuple):
    """Rows that follow each other in an index: an SQL condition which that index can answer."""

    sql: str
    parameters: tuple[Any, ...]
    column: str = ""
    """Of a range: of what. Empty for one value, whose rows are in the order in which they were made."""
    source: str = ""
    """What to look in, if not in the table that is listed alone."""
    alone: bool = True
    """Whether an index begins with it. If not, one has it beside another span."""


class Condition(NamedTuple):
    """An SQL condition, its parameters, and what it implies.

    SQLite knows no index for the SQL itself: how common a value is, it does not know either. All rows that
    meet the condition are in each of the `spans`, an entry of which is a union.
    """

    sql: str
    parameters: tuple[Any, ...] = ()
    spans: tuple[tuple[Span, ...], ...] = ()


EVERYTHING = Condition("TRUE")
NOTHING = Condition("FALSE")


def all_of(conditions: Sequence[Condition]) -> Condition:
    """What meets all of them."""
    spans = tuple(chain.from_iterable(condition.spans for condition in conditions))
    return _joined(" AND ", conditions, spans)


def any_of(conditions: Sequence[Condition]) -> Condition:
    """What meets one of them at least."""
    found = [next(filter(_all_alone, condition.spans), ()) for condition in conditions]
    return _joined(" OR ", conditions, (tuple(chain.from_iterable(found)),) if all(found) else ())


def negated(condition: Condition) -> Condition:
    """What does not meet it."""
    return Condition(f"NOT ({condition.sql})", condition.parameters)


def _all_alone(union: Iterable[Span]) -> bool:
    return all(span.alone for span in union)


def _joined(operator: str, conditions: Sequence[Condition], spans: tuple[tuple[Span, ...], ...]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    sql = operator.join(f"({condition.sql})" for condition in conditions)
    return Condition(sql, tuple(chain.from_iterable(each.parameters for each in conditions)), spans)
