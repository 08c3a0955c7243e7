"""Being the only daemon on a socket and on an audit log.

A second gRPC server would bind the same path without an error and remove it when it
stops, so a lock comes first. It is the kernel's (flock), so a crash leaves none behind.
"""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from released.errors import StartupError


@contextmanager
def exclusive(path: Path, what: str) -> Iterator[None]:
    """Hold the lock `path`.lock. Raises StartupError with the holder's pid if it is taken."""
    lock = path.with_name(path.name + ".lock")
    try:
        lock.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise StartupError(f"the lock of {what} can't be opened: {error}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
            raise StartupError(
                f"{what} {path} is in use by another released, process {holder}: stop that one first",
            ) from error
        # Without room on the disk the lock has no name on it, and holds all the same.
        with suppress(OSError):
            os.ftruncate(descriptor, os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0))
        yield
    finally:
        os.close(descriptor)


def remove_stale_socket(path: Path) -> None:
    """Remove a socket that a dead daemon left; call it under the lock.

    Raises StartupError for a file that is no socket.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartupError(
            f"{path} exists and is no socket: remove it, or set [server] socket to another path"
        )
    path.unlink()
