"""The filter of ListReleases: a subset of AIP-160, compiled to SQL with parameters.

    filter      = factor { "AND" factor } ;
    factor      = term { "OR" term } ;          (OR binds tighter than AND, as in AIP-160)
    term        = [ "NOT" | "-" ] ( restriction | "(" filter ")" ) ;
    restriction = field operator value ;

Fields: `application`, `environment`, `state`, `create_time`, and `labels.KEY`, whose KEY
may be quoted. Operators: `=` and `!=`, and for create_time `<`, `<=`, `>`, `>=` as well;
`labels:KEY` asks whether there is such a label. Values are words or quoted strings; a time
is of ISO 8601 form, with its zone.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from released.audit.times import as_microseconds
from released.errors import InvalidRequest, Violation
from released.model.patterns import TargetPattern
from released.model.states import ReleaseState

LONGEST = 4096
"""Characters."""

DEEPEST = 10
"""Parentheses and negations within each other: SQLite's parser has a stack of 100 entries."""

MOST_RESTRICTIONS = 20
"""Each of a label is looked up for each release, as long as there is no match."""

_SPACE = re.compile(r"\s*")
_NEGATION = re.compile(r"NOT\b|-")
_FIELD = re.compile(r"[A-Za-z_]+")
_KEY = re.compile(r"[A-Za-z0-9_./-]+")
_OPERATOR = re.compile(r"!=|<=|>=|[=<>:]")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'', re.DOTALL)
_WORD = re.compile(r"""[^\s()"']+""")

_EQUALITY = {"=": "=", "!=": "<>"}
_ORDER = {**_EQUALITY, "<": "<", "<=": "<=", ">": ">", ">=": ">="}


class Condition(NamedTuple):
    """An SQL condition on the table releases, and its parameters."""

    sql: str
    parameters: tuple[Any, ...]


def compile_filter(text: str) -> Condition:
    """Compile a filter; an empty one lets everything through.

    Raises InvalidRequest that names the position and what was expected there.
    """
    if len(text) > LONGEST:
        raise _error(0, f"at most {LONGEST} characters")
    if not text.strip():
        return Condition("TRUE", ())
    return _Parser(text).parse()


def within(targets: Iterable[TargetPattern] | None, condition: Condition) -> Condition:
    """Restrict a condition to these deployment targets; None: to none in particular."""
    if targets is None:
        return condition
    visible = [Condition("application GLOB ? AND environment GLOB ?", pattern) for pattern in targets]
    return _joined(" AND ", [condition, _joined(" OR ", visible) if visible else Condition("FALSE", ())])


class _Parser:
    """A recursive descent, a method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._restrictions = 0

    def parse(self) -> Condition:
        condition = self._filter(0)
        self._skip_space()
        if self._position < len(self._text):
            raise self._expected("AND, OR or the end")
        return condition

    def _filter(self, depth: int) -> Condition:
        factors = [self._factor(depth)]
        while self._keyword("AND"):
            factors.append(self._factor(depth))
        return _joined(" AND ", factors)

    def _factor(self, depth: int) -> Condition:
        terms = [self._term(depth)]
        while self._keyword("OR"):
            terms.append(self._term(depth))
        return _joined(" OR ", terms)

    def _term(self, depth: int) -> Condition:
        if depth > DEEPEST:
            raise self._expected(f"at most {DEEPEST} parentheses and negations within each other")
        if self._take(_NEGATION):
            negated = self._term(depth + 1)
            return Condition(f"NOT ({negated.sql})", negated.parameters)
        if not self._literal("("):
            return self._restriction()
        condition = self._filter(depth + 1)
        if not self._literal(")"):
            raise self._expected("')'")
        return condition

    def _restriction(self) -> Condition:
        self._skip_space()
        position = self._position
        self._restrictions += 1
        if self._restrictions > MOST_RESTRICTIONS:
            raise self._expected(f"at most {MOST_RESTRICTIONS} restrictions")
        field = self._take(_FIELD)
        match field and field[0]:
            case "application" | "environment" as column:
                return self._compare(column, self._operator(_EQUALITY), self._value())
            case "state":
                return self._compare("state", self._operator(_EQUALITY), self._state())
            case "create_time":
                return self._compare("create_time", self._operator(_ORDER), self._time())
            case "labels":
                return self._label()
        self._position = position
        raise self._expected("application, environment, state, create_time or labels.KEY")

    def _label(self) -> Condition:
        """`labels.KEY = VALUE`, or `labels:KEY`. A release without the label has no value that differs."""
        exists = "EXISTS (SELECT 1 FROM release_labels WHERE release_id = releases.release_id AND key = ?"
        if self._literal(":"):
            return Condition(f"{exists})", (self._value(),))
        if not self._literal("."):
            raise self._expected("'.KEY' or ':KEY'")
        quoted = self._quoted()
        key = quoted if quoted is not None else self._required(_KEY, "the key of a label")
        operator = self._operator(_EQUALITY)
        return Condition(f"{exists} AND value {operator} ?)", (key, self._value()))

    @staticmethod
    def _compare(column: str, operator: str, value: object) -> Condition:
        return Condition(f"{column} {operator} ?", (value,))

    def _operator(self, allowed: dict[str, str]) -> str:
        self._skip_space()
        position = self._position
        operator = self._take(_OPERATOR)
        if operator is None or operator[0] not in allowed:
            self._position = position
            raise self._expected(" or ".join(allowed))
        return allowed[operator[0]]

    def _state(self) -> str:
        self._skip_space()
        position = self._position
        state = self._value().removeprefix("STATE_")
        if state not in set(ReleaseState):
            self._position = position
            raise self._expected(", ".join(ReleaseState))
        return state

    def _time(self) -> int:
        self._skip_space()
        position = self._position
        try:
            time = datetime.fromisoformat(self._value())
        except ValueError:
            time = None
        if time is None or time.tzinfo is None:
            self._position = position
            raise self._expected("a time with its zone, such as 2026-01-31T12:00:00Z")
        return as_microseconds(time)

    def _value(self) -> str:
        quoted = self._quoted()
        return quoted if quoted is not None else self._required(_WORD, "a value")

    def _quoted(self) -> str | None:
        match = self._take(_STRING)
        if match is None:
            return None
        return re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2], flags=re.DOTALL)

    def _required(self, pattern: re.Pattern[str], what: str) -> str:
        match = self._take(pattern)
        if match is None:
            raise self._expected(what)
        return match[0]

    def _keyword(self, word: str) -> bool:
        return self._take(re.compile(rf"{word}\b")) is not None

    def _literal(self, text: str) -> bool:
        return self._take(re.compile(re.escape(text))) is not None

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        self._skip_space()
        match = pattern.match(self._text, self._position)
        if match is not None:
            self._position = match.end()
        return match

    def _skip_space(self) -> None:
        space = _SPACE.match(self._text, self._position)
        self._position = space.end() if space else self._position

    def _expected(self, what: str) -> InvalidRequest:
        self._skip_space()
        return _error(self._position, what)


def _joined(operator: str, conditions: list[Condition]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    sql = operator.join(f"({condition.sql})" for condition in conditions)
    return Condition(sql, tuple(value for condition in conditions for value in condition.parameters))


def _error(position: int, expected: str) -> InvalidRequest:
    return InvalidRequest([Violation("filter", f"at character {position + 1}: expected {expected}")])
