"""Patterns of deployment targets, as the configuration names them: `shop/live`, `shop/*`, `*/*`."""

import re
from fnmatch import fnmatchcase
from typing import NamedTuple, Self

from released.model.release import Target

_PART = re.compile(r"[a-z0-9*](?:[a-z0-9*-]{0,61}[a-z0-9*])?")


class TargetPattern(NamedTuple):
    """An application and an environment, in which `*` stands for any text, also for none."""

    application: str
    environment: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises ValueError, with the form that it should have, for any other text."""
        application, slash, environment = text.partition("/")
        if not (slash and _PART.fullmatch(application) and _PART.fullmatch(environment)):
            raise ValueError(f"{text!r} is no deployment target: use application/environment, such as shop/*")
        return cls(application, environment)

    def matches(self, target: Target) -> bool:
        """Whether a target is one of those that the pattern stands for."""
        pairs = zip(target, self, strict=True)
        return all(fnmatchcase(part, pattern) for part, pattern in pairs)

    def __str__(self) -> str:
        return f"{self.application}/{self.environment}"
