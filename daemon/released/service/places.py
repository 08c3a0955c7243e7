"""Who may have how many connections at once, so that nobody keeps the others, or the daemon itself, out."""

import logging
import resource
from typing import NamedTuple

from released.model.caller import is_trusted

logger = logging.getLogger(__name__)

DESCRIPTORS_EACH = 3
"""File descriptors of a connection: two of the door, one of gRPC."""


def raise_descriptor_limit() -> None:
    """Let the process have as many file descriptors as it may; many systems begin with 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


STRANGERS_EACH = 10
STRANGERS = 50
"""Connections of a user without any right, and of all of them together: they are there to be refused."""


class Place(NamedTuple):
    """A connection's place: whose it is, and whether they have any right."""

    uid: int
    known: bool


class Places:
    """Limits for each user, for all users together, and for everyone; narrow ones for strangers.

    Root and our own user, who may end the daemon anyway, are held to the last one only. It
    leaves a quarter of the file descriptors to the daemon's own work, and the second one
    leaves half of them to root. One person may have many uids (subuid(5)): so those who have
    no right share a few places, and take none of the others'.
    """

    def __init__(self, most_per_user: int) -> None:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most_per_user = most_per_user
        self._everyone = _Limit("everyone together", descriptors * 3 // 4 // DESCRIPTORS_EACH)
        self._users = _Limit("all users but root together", descriptors // 2 // DESCRIPTORS_EACH)
        self._strangers = _Limit("all users without a role together", STRANGERS)
        self._by_place: dict[Place, _Limit] = {}

    def limit_each(self, most_per_user: int) -> None:
        """Let each user have another number of connections; those that are open stay."""
        self._most_per_user = most_per_user
        for place, limit in self._by_place.items():
            limit.most = self._most_of(place)

    def take(self, uid: int, known: bool) -> Place | None:
        """Give a user's connection a place, if there is one. `known`: the user has some right."""
        place = Place(uid, known)
        limits = self._limits(place)
        if any(limit.is_full() for limit in limits):
            self._forget_if_empty(place)
            return None
        for limit in limits:
            limit.taken += 1
        return place

    def leave(self, place: Place) -> None:
        """Take a place back."""
        for limit in self._limits(place):
            limit.leave()
        self._forget_if_empty(place)

    def _forget_if_empty(self, place: Place) -> None:
        if place in self._by_place and not self._by_place[place].taken:
            del self._by_place[place]

    def _limits(self, place: Place) -> list["_Limit"]:
        if is_trusted(place.uid):
            return [self._everyone]
        if place not in self._by_place:
            self._by_place[place] = _Limit(f"user {place.uid}", self._most_of(place))
        shared = self._users if place.known else self._strangers
        return [self._by_place[place], shared, self._everyone]

    def _most_of(self, place: Place) -> int:
        return self._most_per_user if place.known else min(self._most_per_user, STRANGERS_EACH)


class _Limit:
    """So many places; the log says when they run out, and what became of that, but not for each refusal."""

    def __init__(self, who: str, most: int) -> None:
        self._who = who
        self.most = most
        self._refused = 0
        self.taken = 0

    def is_full(self) -> bool:
        """Whether another connection must be refused; being asked in vain counts as a refusal."""
        if self.taken < self.most:
            return False
        if not self._refused:
            logger.warning("%s: %d connections are open, more are refused", self._who, self.taken)
        self._refused += 1
        return True

    def leave(self) -> None:
        """Free a place."""
        self.taken -= 1
        # Not at the first free place, which whoever wants too many takes at once.
        if self._refused and self.taken <= self.most // 2:
            logger.info("%s: there is room again, %d connections were refused", self._who, self._refused)
            self._refused = 0
