"""What the documents tell people to type, and what it answers."""

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^\$ (.*(?:\\\n.*)*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


class Step(NamedTuple):
    """One line that is typed."""

    typed: str
    answer: str
    """What the page shows below it."""

    @property
    def words(self) -> list[str]:
        """As a shell splits them; nothing is expanded."""
        return shlex.split(self.typed.replace("\\\n", ""), comments=True)


def steps(page: str) -> Iterator[Step]:
    """Yield what a page of Markdown has behind `$ ` in its blocks for the console."""
    for block in _BLOCK.findall(page):
        for typed, answer in _STEP.findall(block):
            yield Step(typed, answer)
