"""Room on the audit log's disk that is kept for telling how releases end."""

import os
from contextlib import suppress
from pathlib import Path

from released.audit.faults import Fault, disk_full, translate_write

MARGIN_BYTES = 1024 * 1024
"""What has to be free besides, for a release to be accepted: else its first output could be its end.

SQLite may still find room then, in a write-ahead log that it uses again.
"""

MIB = 1024 * 1024


class Reserve:
    """A file beside the database that is nothing but room. It is given up when the disk is full.

    Only the audit log's writer changes it.
    """

    def __init__(self, audit_path: Path, size_bytes: int) -> None:
        self.path = audit_path.with_name(audit_path.name + ".reserve")
        self.size_bytes = size_bytes
        self.whole = False
        self._audit_path = audit_path

    @property
    def exists(self) -> bool:
        """Whether there is something to give up."""
        return self.path.exists()

    @property
    def held_bytes(self) -> int:
        """How much of it is there: all or nothing."""
        return self.size_bytes if self.whole else 0

    def restore(self) -> None:
        """Take the room, if there is so much; `whole` says whether there was."""
        try:
            self._take()
            self.whole = True
        except OSError:
            # A part of it would help nobody: who needs room needs what can be had.
            self.give_up()

    def give_up(self) -> None:
        """Leave the room to the database; on a disk that is read-only or broken there is none to leave."""
        self.whole = False
        with suppress(OSError):
            self.path.unlink()

    def shortage(self) -> Fault | None:
        """Why a new release is refused: the reserve is missing, or no room is known besides."""
        try:
            missing = self.size_bytes - self.held_bytes + MARGIN_BYTES - free_bytes(self.path.parent)
        except OSError as error:
            return translate_write(error, self._audit_path)
        if self.whole and missing <= 0:
            return None
        return disk_full(self._audit_path, f"make room for {max(1, -(-missing // MIB))} MiB more on it")

    def _take(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, self.size_bytes)
            os.ftruncate(descriptor, self.size_bytes)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def free_bytes(folder: Path) -> int:
    """How much room there is on the disk of a folder."""
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
