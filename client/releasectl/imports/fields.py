"""Values in a YAML, TOML or JSON document, each with the place where it stands."""

from __future__ import annotations

import shlex
from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice

from .found import ImportFailed

_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (str, "a text"),
    (list, "a list"),
    (dict, "a mapping"),
)


_MOST_NAMES = 10


@dataclass(frozen=True, slots=True)
class Field:
    """A value and the path of keys that leads to it; what is absent, or null, has the value None."""

    value: object
    place: str = ""

    def get(self, key: str) -> Field:
        """Return the field below that key.

        Raises:
            ImportFailed: this is neither a mapping nor absent.
        """
        return Field(self.mapping().get(key), f"{self.place}.{key}" if self.place else key)

    def mapping(self) -> dict[object, object]:
        """Return what is below each key; nothing if this is absent.

        Raises:
            ImportFailed: this is something else.
        """
        if self.value is None:
            return {}
        if not isinstance(self.value, dict):
            raise self.wrong("a mapping")
        return self.value

    def others(self, *known: str) -> tuple[str, ...]:
        """Return the places of all keys that are set, but those known."""
        return tuple(
            f"{self.place}.{key}" if self.place else str(key)
            for key, value in self.mapping().items()
            if key not in known and value is not None
        )

    def elements(self) -> list[Field]:
        """Return the elements of a list; none if this is absent.

        Raises:
            ImportFailed: this is something else.
        """
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        return [Field(value, f"{self.place}[{index}]") for index, value in enumerate(self.value)]

    def text(self) -> str:
        """Return a text, as it is.

        Raises:
            ImportFailed: this is no text, or can't be an argument of a program.
        """
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        return checked(self.value, self.place)

    def line(self) -> str:
        """Return a line for /bin/sh.

        Raises:
            ImportFailed: as `text`, or it is empty.
        """
        if not (line := self.text().strip()):
            raise ImportFailed(f"{self.place}: is empty")
        return line

    def words(self) -> list[str]:
        """Return the words of a text, split as a shell does; nothing is expanded.

        Raises:
            ImportFailed: as `line`, or the quotes don't close, or there is no first word.
        """
        return words(self.line(), self.place)

    def wrong(self, expected: str) -> ImportFailed:
        """Return the error that this is not what was expected."""
        where = f"{self.place}: " if self.place else ""
        return ImportFailed(f"{where}must be {expected}, not {_kind(self.value)}")


def words(line: str, place: str) -> list[str]:
    """Return the words of a line, split as a POSIX shell does; nothing is expanded.

    Raises:
        ImportFailed: the quotes don't close, or there is no first word.
    """
    try:
        found = shlex.split(line)
    except ValueError as error:
        raise ImportFailed(f"{place}: can't be split into words as a shell does: {error}") from None
    return program(found, place)


def program(arguments: list[str], place: str) -> list[str]:
    """Return the arguments if they begin with a program.

    Raises:
        ImportFailed: they don't.
    """
    if not (arguments and arguments[0]):
        raise ImportFailed(f"{place}: names no program")
    return arguments


def checked(text: str, place: str) -> str:
    """Return the text if a program can be given it as an argument, and the daemon be told of it.

    Raises:
        ImportFailed: it has a NUL character, or half of a surrogate pair.
    """
    if "\0" in text:
        raise ImportFailed(f"{place}: has a NUL character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ImportFailed(f"{place}: has half of a surrogate pair, which is no character")
    return text


def listed(names: Collection[str]) -> str:
    """Return names for a sentence, which can still be read if there are many."""
    if len(names) <= _MOST_NAMES + 1:
        return ", ".join(names) or "nothing"
    return f"{', '.join(islice(names, _MOST_NAMES))} and {len(names) - _MOST_NAMES} more"


def _kind(value: object) -> str:
    if value is None:
        return "empty"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), f"a {type(value).__name__}")
