"""Secret values in text that is stored and shown, where no mask would help: whoever wrote it has to know."""

from collections.abc import Iterable, Iterator
from typing import Self

from ahocorasick_rs import BytesAhoCorasick

from released.model.release import Secrets
from released.model.secret_values import secret_lines, secret_values

LONGEST_SEARCHED = 256
"""Bytes of a line that are looked for: its head is not to be found by itself, either."""


class SecretSearch:
    """Looks for a release's secret values, and for lines of them."""

    def __init__(self, lines: Iterable[tuple[str, str]]) -> None:
        """`lines` are those of the values, each with the name of its variable or field."""
        lines = list(lines)
        self._names = [name for name, _ in lines]
        # Of each text once, however many lines: both may be long.
        self._searched = BytesAhoCorasick([line.encode()[:LONGEST_SEARCHED] for _, line in lines])

    @classmethod
    def of(cls, secrets: Secrets, secret_names: Iterable[str]) -> Self:
        """Look for all that is secret; `secret_names` are those of the variables that are."""
        values = secret_values(secrets, secret_names)
        return cls((name, line) for name, value in values for line in secret_lines(value))

    def names_in(self, text: str) -> Iterator[str]:
        """Yield the variables or fields whose values stand in a text; of those that overlap the first."""
        for index, _, _ in self._searched.find_matches_as_indexes(text.encode()) if self._names else ():
            yield self._names[index]

    def name_in(self, text: str) -> str:
        """Return the first of them, empty if there is none."""
        return next(self.names_in(text), "")
