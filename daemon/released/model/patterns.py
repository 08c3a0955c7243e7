"""Patterns of the configuration: `*` stands for any characters but `/`, `**` for any characters."""

import re
from functools import cache
from typing import NamedTuple, Self

from released.model.release import Target

_TARGET_PART = r"(?:[a-z0-9*](?:[a-z0-9*-]*[a-z0-9*])?)"
_TARGET_PATTERN = re.compile(f"{_TARGET_PART}/{_TARGET_PART}")


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """Return the expression that matches, as a whole, what a pattern does."""
    wildcards = {"**": ".*", "*": "[^/]*"}
    pieces = re.split(r"(\*\*|\*)", pattern)
    return re.compile("".join(wildcards.get(piece) or re.escape(piece) for piece in pieces), re.DOTALL)


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern stands for the whole of a text."""
    return compiled(pattern).fullmatch(text) is not None


class TargetPattern(NamedTuple):
    """An application and an environment: slugs in which `*` stands for any characters, also for none."""

    application: str
    environment: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, with the form that it should have, for any other text."""
        if not _TARGET_PATTERN.fullmatch(text):
            raise ValueError(f"{text!r} is no deployment target: use application/environment, such as shop/*")
        return cls(*text.split("/"))

    def matches(self, target: Target) -> bool:
        """Whether a target is one of those that the pattern stands for."""
        return matches(self.application, target.application) and matches(self.environment, target.environment)

    def overlaps(self, other: "TargetPattern") -> bool:
        """Whether there is a target that both match: then neither is the one that holds for it."""
        return all(_globs_overlap(*parts) for parts in zip(self, other, strict=True))

    def __str__(self) -> str:
        return f"{self.application}/{self.environment}"


def _globs_overlap(one: str, other: str) -> bool:
    """Whether there is a text that both match; `*` is the only wildcard in them."""

    @cache
    def meet(here: int, there: int) -> bool:
        """Whether what is left of both can match the same text."""
        if here < len(one) and one[here] == "*":
            return meet(here + 1, there) or (there < len(other) and meet(here, there + 1))
        if there < len(other) and other[there] == "*":
            return meet(here, there + 1) or (here < len(one) and meet(here + 1, there))
        if here == len(one) or there == len(other):
            return here == len(one) and there == len(other)
        return one[here] == other[there] and meet(here + 1, there + 1)

    return meet(0, 0)
