"""What somebody may do: roles, for all deployment targets or for some."""

from enum import IntEnum
from typing import NamedTuple

from released.model.patterns import TargetPattern, any_matches
from released.model.release import Target


class Role(IntEnum):
    """What somebody may do; each role includes those before it."""

    READ = 1
    DEPLOY = 2
    ADMIN = 3

    def __str__(self) -> str:
        return self.name.lower()


class Right(NamedTuple):
    """A role, for some targets or (None) for all."""

    role: Role
    targets: tuple[TargetPattern, ...] | None = None

    def covers(self, role: Role, target: Target) -> bool:
        """Whether it allows what needs this role for a target."""
        return self.role >= role and any_matches(self.targets, target)

    def __str__(self) -> str:
        return (
            str(self.role) if self.targets is None else f"{self.role} of {', '.join(map(str, self.targets))}"
        )


class Rights(tuple[Right, ...]):
    """All that somebody may do."""

    def allow(self, role: Role, target: Target) -> bool:
        """Whether they have a role for a target."""
        return any(right.covers(role, target) for right in self)

    def allow_everywhere(self, role: Role) -> bool:
        """Whether they have a role for all targets."""
        return any(right.role >= role and right.targets is None for right in self)

    def allow_all_of(self, role: Role, application: str) -> bool:
        """Whether they have a role for all environments of an application, also of those to come.

        One pattern has to cover them: others, in which there is more than `*`, stand for one environment
        of one letter or digit at most, and so less than 36 of them can't do so together.
        """
        targets = self.targets(role)
        return targets is None or any(pattern.covers_application(application) for pattern in targets)

    def allow_any_of(self, role: Role, application: str) -> bool:
        """Whether they have a role for an environment of an application, at least one."""
        targets = self.targets(role)
        return targets is None or any(pattern.names_application(application) for pattern in targets)

    def allow_somewhere(self, role: Role) -> bool:
        """Whether they have a role for any target."""
        return any(right.role >= role for right in self)

    def targets(self, role: Role) -> tuple[TargetPattern, ...] | None:
        """The targets for which they have a role; None for all."""
        if self.allow_everywhere(role):
            return None
        patterns = (pattern for right in self if right.role >= role for pattern in right.targets or ())
        return tuple(dict.fromkeys(patterns))

    def __str__(self) -> str:
        return " and ".join(map(str, self)) or "nothing"
