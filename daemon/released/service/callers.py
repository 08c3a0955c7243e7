"""Who is at the other end of each connection: asked of the kernel, and remembered until it is closed.

gRPC does not tell. But what it tells, the address of whoever connected to its own socket, is one that
the door has chosen: a key to what the door knows.
"""

import errno
import os
import pwd
import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import msgspec

from released.aside import FewAside
from released.errors import Unavailable
from released.model.caller import Caller

_CREDENTIALS = struct.Struct("iII")
"""struct ucred, unix(7): pid, uid, gid."""

_SO_PEERGROUPS = 59
"""<asm-generic/socket.h>; Python has no name for it."""

_MOST_BYTES = 1024
"""What Python takes of a socket option: 256 groups."""

LOOKUP_SECONDS = 1.0
"""What a user's name may take to be found, over the network say: then there is none."""

MOST_LOOKUPS = 4
"""How many users may be looked up at once. One that hangs keeps its place until it is answered."""

_PEER = "unix-abstract:"
"""What gRPC puts before the address of a caller."""


def credentials(connection: socket.socket) -> Caller:
    """The process that opened a connection, as the kernel saw it then; but for its groups."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(data)
    return Caller(uid=uid, gid=gid, pid=pid)


def told_groups(connection: socket.socket) -> tuple[int, ...] | None:
    """The groups of that process; None if they are too many for the kernel to tell us."""
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_BYTES)
    except OSError as error:
        if error.errno != errno.ERANGE:
            raise
        return None
    return struct.unpack(f"{len(data) // 4}I", data)


class Callers:
    """The callers whose connections are open."""

    def __init__(self) -> None:
        self._by_address: dict[str, Caller] = {}
        self._lookups = FewAside(MOST_LOOKUPS, LOOKUP_SECONDS)

    async def described(self, caller: Caller, groups: tuple[int, ...] | None) -> Caller:
        """The same caller, with its groups, the user's name and the program, where they can be known.

        Groups that are not told are those that the user database has: none, if it does not answer in time.
        """
        caller = msgspec.structs.replace(caller, groups=groups or (), executable=_executable(caller.pid))
        try:
            return await self._lookups.do(partial(_looked_up, caller, groups is None))
        except TimeoutError:
            return caller

    @contextmanager
    def present(self, caller: Caller) -> Iterator[str]:
        """Know a caller until the end of the block by the (abstract, unix(7)) address that it yields."""
        # Others may choose addresses in the same space: this one can't be taken before.
        address = f"released-{secrets.token_hex(16)}"
        self._by_address[address] = caller
        try:
            yield f"\0{address}"
        finally:
            del self._by_address[address]

    def at(self, peer: str) -> Caller:
        """The caller whose connection gRPC names so. Raises Unavailable for one that is gone."""
        caller = self._by_address.get(peer.removeprefix(_PEER))
        if caller is None:
            raise Unavailable("CALLER_GONE", "the connection that the call came over is closed")
        return caller


def _looked_up(caller: Caller, wants_groups: bool) -> Caller:
    """With what the system's user database has of it; a process's own groups can't be had there."""
    try:
        user = pwd.getpwuid(caller.uid).pw_name
        groups = tuple(os.getgrouplist(user, caller.gid)) if wants_groups else caller.groups
    except (KeyError, OSError):
        return caller
    return msgspec.structs.replace(caller, user=user, groups=groups)


def _executable(pid: int) -> str:
    """What runs in a process; the kernel may not tell us of other users'."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
    return os.fsencode(path).decode(errors="replace")  # any bytes may be in it
