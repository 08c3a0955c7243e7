"""Who called, as the kernel says."""

import msgspec


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
