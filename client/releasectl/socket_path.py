"""Where the daemon's socket is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from .exceptions import DaemonUnreachable

SYSTEM_SOCKET = Path("/run/released/released.sock")


def find_socket(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the daemon's socket.

    That is RELEASED_SOCKET if it is set: whoever names a daemon must never reach
    another. Otherwise it is the first that exists of /run/released/released.sock and
    $XDG_RUNTIME_DIR/released/released.sock.

    Raises:
        DaemonUnreachable: none exists; the message names all that were tried.
    """
    if named := environ.get("RELEASED_SOCKET"):
        return Path(named)
    places = [SYSTEM_SOCKET]
    if runtime_dir := environ.get("XDG_RUNTIME_DIR"):
        places.append(Path(runtime_dir, "released/released.sock"))
    for place in places:
        if _may_be_there(place):
            return place
    tried = " and ".join(map(str, places))
    raise DaemonUnreachable(f"no daemon found: tried {tried} (RELEASED_SOCKET is not set)")


def _may_be_there(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:
        return True  # connecting will tell the reason
    except OSError:
        return False
    return True
