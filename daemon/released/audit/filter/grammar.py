"""Restrictions joined by AND, OR and NOT: a recursive descent, a method for each rule of the grammar."""

import re
from collections.abc import Mapping

from released.audit.filter.condition import EVERYTHING, Condition, all_of, any_of, negated
from released.audit.filter.cursor import Cursor
from released.audit.filter.fields import Field

DEEPEST = 10
"""Parentheses and negations within each other: SQLite's parser has a stack of 100 entries."""

MOST_RESTRICTIONS = 20
"""Each of a label is looked up for each release, as long as there is no match."""

_NEGATION = re.compile(r"NOT\b|-")
_AND = re.compile(r"AND\b")
_OR = re.compile(r"OR\b")
_FIELD = re.compile(r"[A-Za-z_]+")


def compile_with(fields: Mapping[str, Field], text: str) -> Condition:
    """Compile a filter on these fields; an empty one lets everything through.

    Raises InvalidRequest that names the position and what was expected there.
    """
    return _Parser(fields, Cursor(text)).parse()


class _Parser:
    def __init__(self, fields: Mapping[str, Field], cursor: Cursor) -> None:
        self._fields = fields
        self._cursor = cursor
        self._restrictions = 0

    def parse(self) -> Condition:
        if self._cursor.at_end:
            return EVERYTHING
        condition = self._filter(0)
        if not self._cursor.at_end:
            raise self._cursor.expected("AND, OR or the end")
        return condition

    def _filter(self, depth: int) -> Condition:
        factors = [self._factor(depth)]
        while self._cursor.take(_AND):
            factors.append(self._factor(depth))
        return all_of(factors)

    def _factor(self, depth: int) -> Condition:
        terms = [self._term(depth)]
        while self._cursor.take(_OR):
            terms.append(self._term(depth))
        return any_of(terms)

    def _term(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise self._cursor.expected(f"at most {DEEPEST} parentheses and negations within each other")
        if self._cursor.take(_NEGATION):
            return negated(self._term(depth + 1))
        if not self._cursor.takes("("):
            return self._restriction()
        condition = self._filter(depth + 1)
        if not self._cursor.takes(")"):
            raise self._cursor.expected("')'")
        return condition

    def _restriction(self) -> Condition:
        self._restrictions += 1
        if self._restrictions > MOST_RESTRICTIONS:
            raise self._cursor.expected(f"at most {MOST_RESTRICTIONS} restrictions")
        position = self._cursor.next_position
        name = self._cursor.take(_FIELD)
        field = name and self._fields.get(name[0])
        if not field:
            raise self._cursor.expected(f"one of the fields {', '.join(self._fields)}", position)
        return field(self._cursor)
