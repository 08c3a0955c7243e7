"""The kinds of fields that filters can have, each of which reads its own operator and value."""

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from released.audit.filter.condition import Condition, Span
from released.audit.filter.cursor import ANY, Cursor, Value
from released.audit.times import as_microseconds

Field = Callable[[Cursor], Condition]
"""Takes the rest of a restriction, behind the name of its field."""

MOST = 2**63 - 1
"""The greatest number that SQLite has."""

_COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
_SQL = {"!=": "<>"}
_SPECIAL = re.compile(r"([*?\[])")
_DURATION = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h|d))+", re.ASCII)
_PART = re.compile(r"([\d.]+)(ms|s|m|h|d)", re.ASCII)
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def text(column: str, *, alone: bool = True) -> Field:
    """A text: `=` and `!=`, in which `*` stands for any characters, and `:`, which it contains."""

    def field(cursor: Cursor) -> Condition:
        operator, value = cursor.operator("=", "!=", ":"), cursor.value()
        if operator == ":":
            return contains(column, value)
        return equals(column, value, alone=alone) if operator == "=" else differs(column, value)

    return field


def contains(column: str, value: Value) -> Condition:
    """A text that has the value somewhere in it; `*`: that is not empty."""
    if value.is_any:
        return Condition(f"+{column} <> ''")
    return Condition(f"instr({column}, ?) > 0", (value.text,))


def equals(column: str, value: Value, *, alone: bool = True) -> Condition:
    """A text that is the value, or of its form. `alone`: as a Span has it."""
    if len(value.parts) == 1:
        span = Span(f"{column} = ?", value.parts, alone=alone)
        return Condition(f"+{column} = ?", value.parts, ((span,),))
    spans = ((_beginning(column, value.parts[0]),),) if alone and value.parts[0] else ()
    return Condition(f"+{column} GLOB ?", (_glob(value),), spans)


def differs(column: str, value: Value) -> Condition:
    """A text that is not the value, or not of its form."""
    operator, operand = ("<>", value.text) if len(value.parts) == 1 else ("NOT GLOB", _glob(value))
    return Condition(f"+{column} {operator} ?", (operand,))


def choice(column: str, choices: Iterable[str], prefix: str = "") -> Field:
    """One of some words; a release that has none has no value there. `:*` asks whether it has one."""
    known = tuple(choices)

    def field(cursor: Cursor) -> Condition:
        operator, value = cursor.operator("=", "!=", ":"), cursor.value()
        if operator == ":" and value.is_any:
            return Condition(f"+{column} IS NOT NULL")
        word = value.text.removeprefix(prefix)
        if operator == ":" or word not in known:
            raise cursor.expected(ANY if operator == ":" else ", ".join(known), value.position)
        if operator == "!=":
            return Condition(f"ifnull({column} <> ?, FALSE)", (word,))
        return Condition(f"ifnull({column} = ?, FALSE)", (word,), ((Span(f"{column} = ?", (word,)),),))

    return field


def time(column: str, ordered_by: str = "") -> Field:
    """A time of ISO 8601 form with its zone. `ordered_by` is what is in an index, if anything is."""

    def read(cursor: Cursor, value: Value) -> int:
        try:
            instant = datetime.fromisoformat(value.text)
            return as_microseconds(instant) if instant.tzinfo else _refuse()
        except (ValueError, OverflowError):
            example = "a time with its zone, such as 2026-01-31T12:00:00Z"
            raise cursor.expected(example, value.position) from None

    return _comparison(column, read, ordered_by)


def duration(column: str, ordered_by: str) -> Field:
    """A duration in seconds, such as `90s`, or in other units."""

    def read(cursor: Cursor, value: Value) -> int:
        if not _DURATION.fullmatch(value.text):
            raise cursor.expected("a duration such as 90s, 1.5h or 1h30m", value.position)
        microseconds = sum(
            round(float(number) * (_UNITS[unit] // timedelta(microseconds=1)))
            for number, unit in _PART.findall(value.text)
        )
        return min(microseconds, MOST)

    return _comparison(column, read, ordered_by)


def integer(column: str, ordered_by: str = "") -> Field:
    """A number that is not negative."""

    def read(cursor: Cursor, value: Value) -> int:
        number = as_integer(value.text)
        if number is None:
            raise cursor.expected("a number", value.position)
        return number

    return _comparison(column, read, ordered_by)


def as_integer(written: str) -> int | None:
    """The number that is written, None for what SQLite has no number for."""
    return int(written) if re.fullmatch(r"\d{1,18}", written, re.ASCII) else None


def _comparison(column: str, read: Callable[[Cursor, Value], Any], ordered_by: str) -> Field:
    def field(cursor: Cursor) -> Condition:
        operator, value = cursor.operator(*_COMPARISONS, ":"), cursor.value()
        if operator == ":":
            if value.is_any:
                return Condition(f"+{column} IS NOT NULL")
            raise cursor.expected(ANY, value.position)
        number = read(cursor, value)
        sql = _SQL.get(operator, operator)
        span = Span(f"{ordered_by} {sql} ?", (number,), ordered_by)
        spans = ((span,),) if ordered_by and operator != "!=" else ()
        return Condition(f"ifnull({column} {sql} ?, FALSE)", (number,), spans)

    return field


def _refuse() -> int:
    raise ValueError


def _glob(value: Value) -> str:
    """The value as a pattern of SQLite's, in which more is special than `*`."""
    return "*".join(_SPECIAL.sub(r"[\1]", part) for part in value.parts)


def _beginning(column: str, head: str) -> Span:
    """Texts with that beginning, in the order of their code points, which is also that of UTF-8."""
    return Span(f"{column} >= ? AND {column} < ?", (head, _after(head)), column)


def _after(head: str) -> str | bytes:
    """What comes behind all texts with that beginning: bytes come behind any text."""
    body = head.rstrip("\U0010ffff")
    if not body:
        return b""
    following = ord(body[-1]) + 1
    return body[:-1] + chr(0xE000 if following == 0xD800 else following)
