"""Secret values in text that is stored and shown, where no mask would help: whoever wrote it has to know."""

from collections.abc import Iterable

from ahocorasick_rs import BytesAhoCorasick

from released.model.release import Secrets
from released.model.secret_values import secret_lines, secret_values

LONGEST_SEARCHED = 256
"""Bytes of a line that are looked for: its head is not to be found by itself, either."""


class SecretSearch:
    """Looks for a release's secret values, and for lines of them."""

    def __init__(self, secrets: Secrets, secret_names: Iterable[str]) -> None:
        """`secret_names` are those of the variables that are secret."""
        lines = [
            (name, line)
            for name, value in secret_values(secrets, secret_names)
            for line in secret_lines(value)
        ]
        self._names = [name for name, _ in lines]
        # Of each text once, however many lines: both may be long.
        self._searched = BytesAhoCorasick([line.encode()[:LONGEST_SEARCHED] for _, line in lines])

    def name_in(self, text: str) -> str:
        """Return the variable or field whose value stands in a text, empty if there is none."""
        matches = self._searched.find_matches_as_indexes(text.encode()) if self._names else ()
        return self._names[matches[0][0]] if matches else ""
