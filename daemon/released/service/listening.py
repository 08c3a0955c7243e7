"""The socket that callers connect to: systemd's, when it started us with one, or else one of our own.

systemd's is there before the daemon and stays after it: who connects while the daemon is restarted waits.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from released.errors import StartupError
from released.locks import remove_stale_socket
from released.systemd import handed_descriptors

SOCKET_MODE = 0o666
"""Whoever comes in is asked who it is; what it may do, the access rules say."""

HAND_OVER = "released takes one listening Unix stream socket from systemd"


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """A non-blocking socket that listens at `path` until the end of the block; call it under the path's lock.

    Connections wait until somebody accepts them. Raises StartupError.
    """
    descriptors = handed_descriptors()
    if not descriptors:
        with _own(path) as listener:
            yield listener
    elif len(descriptors) > 1:
        raise StartupError(f"systemd has handed over {len(descriptors)} sockets, but {HAND_OVER}")
    else:
        with _handed(descriptors[0], path) as listener:
            yield listener


@contextmanager
def _own(path: Path) -> Iterator[socket.socket]:
    remove_stale_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        listener.bind(str(path))
        path.chmod(SOCKET_MODE)  # nobody can connect before it listens
        listener.listen(socket.SOMAXCONN)
    except OSError as error:
        listener.close()
        raise StartupError(f"the socket {path} can't be served: {error}") from error
    try:
        yield listener
    finally:
        path.unlink(missing_ok=True)
        listener.close()


@contextmanager
def _handed(descriptor: int, path: Path) -> Iterator[socket.socket]:
    """The path stays: systemd listens there still, and whoever connects has the next daemon started."""
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise StartupError(f"what systemd has handed over is no socket, but {HAND_OVER}") from error
    with listener:
        address = listener.getsockname()
        if (listener.family, listener.type) != (
            socket.AF_UNIX,
            socket.SOCK_STREAM,
        ) or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise StartupError(f"systemd has handed over another kind of socket ({address}), but {HAND_OVER}")
        if os.path.realpath(address) != os.path.realpath(path):
            raise StartupError(
                f"systemd listens at {address!r}, but [server] socket is {str(path)!r}: "
                "set ListenStream= of released.socket and [server] socket to the same path"
            )
        listener.setblocking(False)
        yield listener
