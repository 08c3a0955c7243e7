"""Who may do what: the rights of a caller, by the numbers that the kernel tells of it."""

from typing import Self

from released.config.access import AccessConfig, Member, Rules
from released.model.caller import Caller, is_trusted
from released.model.patterns import any_matches
from released.model.release import Target
from released.model.rights import Right, Rights, Role


class Access:
    """What the configuration gives to whom."""

    def __init__(self, rules: Rules) -> None:
        self._members, self._applications = rules

    @classmethod
    def of(cls, config: AccessConfig) -> Self:
        """By what it came to when it was loaded; one that was not is looked up now, and may raise BadKey."""
        return cls(config.rules)

    def rights(self, caller: Caller) -> Rights:
        """What a caller may do."""
        if is_trusted(caller.uid):
            return Rights([Right(Role.ADMIN)])
        return Rights(dict.fromkeys(member.right for member in self._members if _is_it(member, caller)))

    def is_enabled(self, target: Target) -> bool:
        """Whether the application may have releases at all."""
        return any_matches(self._applications, target)


def _is_it(member: Member, caller: Caller) -> bool:
    return caller.uid == member.uid or member.gid in (caller.gid, *caller.groups)
