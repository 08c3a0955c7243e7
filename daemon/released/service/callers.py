"""Who is at the other end of each connection: asked of the kernel, and remembered until it is closed.

gRPC does not tell. But what it tells, the address of whoever connected to its own socket, is one that
the door has chosen: a key to what the door knows.
"""

import asyncio
import os
import pwd
import secrets
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

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

_PEER = "unix-abstract:"
"""What gRPC puts before the address of a caller."""


def credentials(connection: socket.socket) -> Caller:
    """The process that opened a connection, as the kernel saw it then."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, gid = _CREDENTIALS.unpack(data)
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_BYTES)
    except OSError:  # ERANGE: there are more
        return Caller(uid=uid, gid=gid, pid=pid, groups=_groups_of_user(uid, gid))
    groups = struct.unpack(f"{len(data) // 4}I", data)
    return Caller(uid=uid, gid=gid, pid=pid, groups=groups)


async def described(caller: Caller) -> Caller:
    """The same caller, with the user's name and the program, where they can be known."""
    try:
        user = await asyncio.wait_for(asyncio.to_thread(_user_name, caller.uid), LOOKUP_SECONDS)
    except TimeoutError:
        user = ""
    return msgspec.structs.replace(caller, user=user, executable=_executable(caller.pid))


class Callers:
    """The callers whose connections are open."""

    def __init__(self) -> None:
        self._by_address: dict[str, Caller] = {}

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


def _groups_of_user(uid: int, gid: int) -> tuple[int, ...]:
    """By the system's user database; the groups of the process itself can't be had."""
    try:
        return tuple(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except KeyError:
        return ()


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""


def _executable(pid: int) -> str:
    """What runs in a process; the kernel may not tell us of other users'."""
    try:
        path = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""
    return os.fsencode(path).decode(errors="replace")  # any bytes may be in it
