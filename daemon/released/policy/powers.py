"""Whose numbers no release may have: with a writable mount, what it leaves on the host could act as they do.

A program with the set-group-ID bit of the group `docker`, run by any user of the host, has the
engine's socket; `no-new-privileges` is the container's, not that user's. See inode(7).
"""

import os
from typing import NamedTuple

from released.engine.connection import UNIX
from released.model.caller import ROOT


class Powers(NamedTuple):
    """Numbers of this host that stand for the daemon or for the engine; root's are left to the policy."""

    uids: frozenset[int]
    gids: frozenset[int]


def powers_on_host(engine_url: str) -> Powers:
    """Return the daemon's own numbers, and those that give the engine's socket."""
    uids, gids = {os.getuid(), os.geteuid()}, {os.getgid(), os.getegid(), *os.getgroups()}
    if engine_url.startswith(UNIX):
        try:
            socket = os.stat(engine_url.removeprefix(UNIX))
        except OSError:
            # Without it no container is made, and before one is, this is asked again.
            pass
        else:
            uids.add(socket.st_uid)
            gids.add(socket.st_gid)
    return Powers(frozenset(uids - {ROOT}), frozenset(gids - {ROOT}))
