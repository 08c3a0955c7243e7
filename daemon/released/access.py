"""Who may do what: the rights of a caller, by the numbers that the kernel tells of it."""

import os
from collections.abc import Iterable
from typing import Self

from released.config.access import AccessConfig, Member, application_patterns, members
from released.model.caller import Caller
from released.model.patterns import TargetPattern
from released.model.release import Target
from released.model.rights import Right, Rights, Role

ROOT = 0


class Access:
    """What the configuration gives to whom."""

    def __init__(
        self, members: Iterable[Member], applications: tuple[TargetPattern, ...] | None = None
    ) -> None:
        self._members = tuple(members)
        self._applications = applications

    @classmethod
    def of(cls, config: AccessConfig) -> Self:
        """Look up the users and groups that it names. Raises BadKey for one that there is not."""
        return cls(members(config), application_patterns(config))

    def rights(self, caller: Caller) -> Rights:
        """What a caller may do."""
        if caller.uid in (ROOT, os.geteuid()):
            return Rights([Right(Role.ADMIN)])
        return Rights(dict.fromkeys(member.right for member in self._members if _is_it(member, caller)))

    def is_enabled(self, target: Target) -> bool:
        """Whether the application may have releases at all."""
        return self._applications is None or any(p.matches(target) for p in self._applications)


def _is_it(member: Member, caller: Caller) -> bool:
    return caller.uid == member.uid or member.gid in (caller.gid, *caller.groups)
