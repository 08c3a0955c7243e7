"""Which paths of the host the containers of releases under way have mounted.

Root in a container is root on the host where a folder of the host may be written. It could put
a link in the place of what another release is about to mount from inside of that folder, as
nobody else can. So of two releases under way none may have a source inside of what the other one
may write.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import NamedTuple

from released.policy.host_paths import Refused


class Held(NamedTuple):
    """A path of the host that a release has mounted, without links, and whether it may write there."""

    path: str
    writable: bool


class Holds:
    """The paths, by release. A release holds its own from before its first container until after its last."""

    def __init__(self) -> None:
        self._held: dict[str, frozenset[Held]] = {}

    def hold(self, release_id: str, paths: Iterable[Held]) -> None:
        """Hold paths, in place of what the release held before. Raises Refused, and changes nothing."""
        wanted = frozenset(paths)
        for other_id, held in self._held.items():
            for mine in wanted if other_id != release_id else ():
                _refuse_nested(mine, held, other_id)
        self._held[release_id] = wanted

    def keep(self, release_id: str, paths: Iterable[Held]) -> None:
        """Hold paths that the release has mounted already, before the daemon was restarted."""
        self._held.setdefault(release_id, frozenset(paths))

    def let_go(self, release_id: str) -> None:
        """Hold nothing for a release any more: none of its containers is left."""
        self._held.pop(release_id, None)


def _refuse_nested(mine: Held, held: Iterable[Held], other_id: str) -> None:
    for other in held:
        if (other.writable and _is_below(mine, other)) or (mine.writable and _is_below(other, mine)):
            raise Refused(
                f"{mine.path} and {other.path}, which releases/{other_id} has mounted, lie in each other: "
                "one release could swap what the other mounts; try again when it has ended"
            )


def _is_below(inner: Held, outer: Held) -> bool:
    return inner.path != outer.path and PurePosixPath(inner.path).is_relative_to(outer.path)
