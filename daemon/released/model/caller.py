"""Who called, as the kernel says."""

import os

import msgspec

ROOT = 0


def is_trusted(uid: int) -> bool:
    """Whether a user is root or the daemon's own, who can do all that the daemon can."""
    return uid in (ROOT, os.geteuid())


class Caller(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The process that opened a connection, unix(7) SO_PEERCRED: as it was then.

    `user` is the name of `uid`, empty if it has none. `executable` is what ran in the process,
    where that may be read: a hint, since a process may run something else any time.
    """

    uid: int
    gid: int
    pid: int
    groups: tuple[int, ...] = ()
    user: str = ""
    executable: str = ""

    def __str__(self) -> str:
        return f"{self.user} (uid {self.uid})" if self.user else f"uid {self.uid}"
