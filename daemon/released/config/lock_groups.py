"""`[lock_groups]`: targets of which only one may have a release under way, such as those of one database."""

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from released.config.keys import BadKey
from released.model.forms import SLUG
from released.model.patterns import TargetPattern, any_matches
from released.model.release import Target

TABLE = "lock_groups"

TAKEN_IN = "group:"
"""What begins the name of a group whose targets belong to another one, too."""


class LockGroups:
    """What `[lock_groups]` comes to."""

    def __init__(self, table: Mapping[str, Iterable[str]]) -> None:
        """Raises BadKey for what can't be a group."""
        self._names = tuple(table)
        self._patterns: dict[str, tuple[TargetPattern, ...]] = {}
        self._taken_in: dict[str, tuple[str, ...]] = {}
        for name, members in table.items():
            _check_name(name)
            self._patterns[name], self._taken_in[name] = _parsed(name, tuple(members), table)
        self._inmost_first = _inmost_first(self._taken_in)

    def of(self, target: Target) -> tuple[str, ...]:
        """The groups that a target is in, in the order of the file."""
        found: set[str] = set()
        for name in self._inmost_first:
            if any_matches(self._patterns[name], target) or not found.isdisjoint(self._taken_in[name]):
                found.add(name)
        return tuple(name for name in self._names if name in found)


def _check_name(name: str) -> None:
    if not SLUG.fullmatch(name):
        raise BadKey(
            (TABLE, name),
            f"{name!r} can't be a group's name: use lower-case letters, digits and hyphens, 63 at most",
        )


def _parsed(
    name: str, members: tuple[str, ...], table: Mapping[str, object]
) -> tuple[tuple[TargetPattern, ...], tuple[str, ...]]:
    """The patterns of a group, and the groups that it takes in. Raises BadKey."""
    patterns, groups = [], []
    for index, member in enumerate(members):
        key = (TABLE, name, index)
        if not member.startswith(TAKEN_IN):
            try:
                patterns.append(TargetPattern.parse(member))
            except ValueError as error:
                raise BadKey(key, f"{error}, or {TAKEN_IN}NAME for all of another group") from error
        elif (group := member.removeprefix(TAKEN_IN)) in table:
            groups.append(group)
        else:
            raise BadKey(key, f"there is no group {group!r} in [{TABLE}]: add it, or correct the name")
    return tuple(patterns), tuple(groups)


def _inmost_first(taken_in: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The groups, each behind those that it takes in. Raises BadKey if some take in each other."""
    try:
        return tuple(TopologicalSorter(taken_in).static_order())
    except CycleError as error:
        # It has each behind one that it takes in, and the first of them twice.
        circle = error.args[1][:0:-1]
        places = {name: place for place, name in enumerate(taken_in)}
        first = min(range(len(circle)), key=lambda index: places[circle[index]])
        around = [*circle[first:], *circle[: first + 1]]
        words = " takes in ".join(around)
        raise BadKey(
            (TABLE, around[0]), f"groups go round in a circle: {words}: take one of these out"
        ) from error
