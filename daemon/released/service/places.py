"""Who may have how many connections at once, so that nobody keeps the others, or the daemon itself, out."""

import logging
import os
import resource

logger = logging.getLogger(__name__)

ROOT = 0

DESCRIPTORS_EACH = 3
"""File descriptors of a connection: two of the door, one of gRPC."""


def raise_descriptor_limit() -> None:
    """Let the process have as many file descriptors as it may; many systems begin with 1024."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Places:
    """Three limits: for each user, for all users together, and for everyone.

    Root and our own user, who may end the daemon anyway, are held to the last one only. It
    leaves a quarter of the file descriptors to the daemon's own work, and the second one
    leaves half of them to root.
    """

    def __init__(self, most_per_user: int) -> None:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most_per_user = most_per_user
        self._trusted = {ROOT, os.geteuid()}
        self._everyone = _Limit("everyone together", descriptors * 3 // 4 // DESCRIPTORS_EACH)
        self._users = _Limit("all users but root together", descriptors // 2 // DESCRIPTORS_EACH)
        self._by_uid: dict[int, _Limit] = {}

    def limit_each(self, most_per_user: int) -> None:
        """Set the limit for each user. Whoever is in stays."""
        self._most_per_user = most_per_user
        for limit in self._by_uid.values():
            limit.most = most_per_user

    def take(self, uid: int) -> bool:
        """Give a user's connection a place, if there is one."""
        limits = self._limits(uid)
        if any(limit.is_full() for limit in limits):
            return False
        for limit in limits:
            limit.taken += 1
        return True

    def leave(self, uid: int) -> None:
        """Take the place of a user's connection back."""
        for limit in self._limits(uid):
            limit.leave()
        if uid in self._by_uid and not self._by_uid[uid].taken:
            del self._by_uid[uid]

    def _limits(self, uid: int) -> list["_Limit"]:
        if uid in self._trusted:
            return [self._everyone]
        if uid not in self._by_uid:
            self._by_uid[uid] = _Limit(f"user {uid}", self._most_per_user)
        return [self._by_uid[uid], self._users, self._everyone]


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
