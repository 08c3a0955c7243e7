"""What accepted releases need and no disk may hold: kept in memory-backed files until they end.

A file for each release, readable by its owner only, in the runtime folder, which must be
on a tmpfs. So a queued release survives a restart of the daemon, but not of the host.
"""

import logging
import os
from pathlib import Path

import msgspec

from released.errors import ResourceExhausted
from released.folders import make_private
from released.model.release import Secrets

logger = logging.getLogger(__name__)

IN_MEMORY = frozenset({"tmpfs", "ramfs"})


class Vault:
    """The secrets of releases that have not ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._usable = False

    @classmethod
    def open(cls, folder: Path) -> "Vault":
        """Use `folder`, made if need be; if it is on a disk, nothing is kept and a warning says so.

        Raises StartupError for a folder that is not ours.
        """
        make_private(folder)
        vault = cls(folder)
        vault._usable = _filesystem(folder) in IN_MEMORY
        if not vault._usable:
            logger.warning(
                "%s is not on a tmpfs: queued releases that have environment variables or registry "
                "credentials will not survive a restart of the daemon",
                folder,
            )
        return vault

    def put(self, release_id: str, secrets: Secrets) -> None:
        """Keep a release's secrets, if it has any. Raises ResourceExhausted if that is not possible."""
        if not self._usable or not secrets:
            return
        path = self._path(release_id)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(secrets))
        except OSError as error:
            message = f"the release's values can't be kept in memory, in {self._folder}: {error.strerror}"
            raise ResourceExhausted("NO_ROOM_FOR_SECRETS", message) from error

    def get(self, release_id: str) -> Secrets | None:
        """Return a release's secrets, or None if none were kept."""
        try:
            return msgspec.json.decode(self._path(release_id).read_bytes(), type=Secrets)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None  # a crash may have left half a file

    def discard(self, release_id: str) -> None:
        """Forget a release's secrets, if there are any."""
        self._path(release_id).unlink(missing_ok=True)

    def keep_only(self, release_ids: set[str]) -> None:
        """Forget the secrets of all other releases."""
        for path in self._folder.glob("*.json"):
            if path.stem not in release_ids:
                path.unlink()

    def _path(self, release_id: str) -> Path:
        return self._folder / f"{release_id}.json"


def _filesystem(folder: Path) -> str:
    """The type of the filesystem that a folder is on; see proc_pid_mountinfo(5)."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == number:
            return source.split()[0]
    return ""
