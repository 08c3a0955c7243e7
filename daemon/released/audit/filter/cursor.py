"""Reads the words of a filter, and says where something else was expected."""

import re
from typing import NamedTuple

from released.errors import InvalidRequest, Violation

LONGEST = 4096
"""Characters of a filter."""

ANY = "*"

_SPACE = re.compile(r"\s*")
_OPERATOR = re.compile(r"!=|<=|>=|[=<>:]")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'', re.DOTALL)
_QUOTE = re.compile("[\"']")
_WORD = re.compile(r"""[^\s()"']+""")
_PIECE = re.compile(r"\\(.)|(\*)|([^\\*]+|\\)", re.DOTALL)


class Value(NamedTuple):
    """What something is compared with."""

    parts: tuple[str, ...]
    """The text between its wildcards: one part for a text without any."""
    text: str
    """The value, its wildcards as they were written."""
    position: int

    @property
    def is_any(self) -> bool:
        """Whether it is a wildcard and nothing else."""
        return self.parts == ("", "")


class Cursor:
    """A place in the text of a filter. Raises InvalidRequest for what is too long, or no text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.position = 0
        if len(text) > LONGEST:
            raise self.expected(f"at most {LONGEST} characters")
        if (nul := text.find("\0")) >= 0:  # where a pattern of SQLite's ends
            self.position = nul
            raise self.expected("no NUL")

    @property
    def at_end(self) -> bool:
        """Whether nothing follows but space."""
        return self.next_position == len(self._text)

    @property
    def next_position(self) -> int:
        """Where what comes next begins."""
        self._skip_space()
        return self.position

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """Take what comes next if it is of that form, after any space."""
        self._skip_space()
        match = pattern.match(self._text, self.position)
        if match is not None:
            self.position = match.end()
        return match

    def takes(self, text: str) -> bool:
        """Take exactly this, if it comes next."""
        return self.take(re.compile(re.escape(text))) is not None

    def required(self, pattern: re.Pattern[str], what: str) -> str:
        """Take what has to come next."""
        match = self.take(pattern)
        if match is None:
            raise self.expected(what)
        return match[0]

    def operator(self, *allowed: str) -> str:
        """Take one of these operators."""
        position = self.next_position
        operator = self.take(_OPERATOR)
        if operator is None or operator[0] not in allowed:
            raise self.expected(" or ".join(allowed), position)
        return operator[0]

    def value(self) -> Value:
        """Take a word or a quoted string."""
        position = self.next_position
        written = self._quoted()
        if written is None:
            word = self.required(_WORD, "a value")
            return Value(tuple(word.split(ANY)), word, position)
        parts, text = [""], ""
        for escaped, wildcard, plain in _PIECE.findall(written):
            text += escaped or wildcard or plain
            if wildcard:
                parts.append("")
            else:
                parts[-1] += escaped or plain
        return Value(tuple(parts), text, position)

    def name(self, pattern: re.Pattern[str], what: str) -> str:
        """Take a name, which may be quoted; nothing in it is a wildcard."""
        written = self._quoted()
        if written is None:
            return self.required(pattern, what)
        return re.sub(r"\\(.)", r"\1", written, flags=re.DOTALL)

    def expected(self, what: str, position: int | None = None) -> InvalidRequest:
        """The error that names a position, from 1 on, by default of what comes next."""
        place = (self.next_position if position is None else position) + 1
        return InvalidRequest([Violation("filter", f"at character {place}: expected {what}")])

    def _quoted(self) -> str | None:
        match = self.take(_STRING)
        if match is None:
            if opening := self.take(_QUOTE):
                raise self.expected(f"the closing {opening[0]} of this string", opening.start())
            return None
        return match[1] if match[1] is not None else match[2]

    def _skip_space(self) -> None:
        space = _SPACE.match(self._text, self.position)
        self.position = space.end() if space else self.position
