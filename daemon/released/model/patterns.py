"""Patterns of the configuration: `*` stands for any characters but `/`, `**` for any characters."""

import re
from collections.abc import Iterable
from typing import NamedTuple, Self

from released.model.release import Target

_TARGET_PART = r"(?:[a-z0-9*](?:[a-z0-9*-]*[a-z0-9*])?)"
_TARGET_PATTERN = re.compile(f"{_TARGET_PART}/{_TARGET_PART}")
_WILDCARDS = re.compile(r"(\*+)")


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern stands for the whole of a text; in time proportional to its length.

    A regular expression would try every way to share the text among the wildcards.
    """
    # Literals, which may be empty at both ends, and wildcards by turns.
    first, *middle = _WILDCARDS.split(pattern)
    if not middle:
        return pattern == text
    *middle, last_wildcard, last = middle
    if not text.startswith(first) or not text.endswith(last):
        return False
    starts = [len(first)]
    for wildcard, literal in zip(middle[::2], middle[1::2], strict=True):
        starts = _ends(wildcard, literal, starts, text)
    return _reaches(last_wildcard, starts, len(text) - len(last), text)


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

    def names_application(self, application: str) -> bool:
        """Whether it stands for an environment of the application, at least one."""
        return matches(self.application, application)

    def covers_application(self, application: str) -> bool:
        """Whether it stands for all environments of the application, whatever they may be called."""
        return self.names_application(application) and not self.environment.strip("*")

    def overlaps(self, other: "TargetPattern") -> bool:
        """Whether there is a target that both match: then neither is the one that holds for it."""
        return all(_globs_overlap(*parts) for parts in zip(self, other, strict=True))

    def __str__(self) -> str:
        return f"{self.application}/{self.environment}"


def _ends(wildcard: str, literal: str, starts: list[int], text: str) -> list[int]:
    """Return where a literal after a wildcard can end, by where the wildcard can start.

    Of all places without a slash between them only the first counts: what can be reached from the
    others can be reached from it. Both lists are in order, and have no other places.
    """
    if wildcard == "*":
        # It ends where the next slash begins at the latest.
        found = (text.find(literal, start, _folder_end(text, start) + len(literal)) for start in starts)
        return [at + len(literal) for at in found if at >= 0]
    ends = []
    at = text.find(literal, starts[0]) if starts else -1
    while at >= 0:
        ends.append(at + len(literal))
        beyond = _folder_end(text, ends[-1]) + 1
        at = text.find(literal, max(at + 1, beyond - len(literal)))
    return ends


def _reaches(wildcard: str, starts: list[int], end: int, text: str) -> bool:
    """Whether a wildcard that starts at one of these places can end there."""
    if wildcard == "*":
        return any(start <= end <= _folder_end(text, start) for start in starts)
    return bool(starts) and starts[0] <= end


def _folder_end(text: str, start: int) -> int:
    """Return where the next slash is, or the text ends."""
    slash = text.find("/", start)
    return len(text) if slash < 0 else slash


def any_matches(patterns: Iterable[TargetPattern] | None, target: Target) -> bool:
    """Whether a target is one of those that some patterns stand for; None stands for all."""
    return patterns is None or any(pattern.matches(target) for pattern in patterns)


def _globs_overlap(one: str, other: str) -> bool:
    """Whether there is a text that both match; `*` is the only wildcard in them."""
    # For each end of the other one: whether it can match the same text as an end of the first one.
    shorter = [not other[there:].strip("*") for there in range(len(other) + 1)]
    for character in reversed(one):
        longer = [character == "*" and shorter[-1]]
        for there in reversed(range(len(other))):
            if "*" in (character, other[there]):
                longer.append(shorter[there] or longer[-1])
            else:
                longer.append(character == other[there] and shorter[there + 1])
        shorter = longer[::-1]
    return shorter[0]
