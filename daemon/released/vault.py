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

MOST_BYTES = 64 * 1024 * 1024
"""For the secrets of all releases together; it leaves others of the tmpfs, and the memory, alone."""

MOST_SHARE = 4
"""They take a quarter of the tmpfs at most: services that could not write there any more would fail."""

PAGE_BYTES = 4096
"""What a file on a tmpfs takes at least."""


class Vault:
    """The secrets of releases that have not ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._usable = False
        self._limit_bytes = MOST_BYTES
        self._sizes: dict[str, int] = {}
        """Of the releases that have secrets, in bytes; of those that no file is kept for, too."""

    @classmethod
    def open(cls, folder: Path) -> "Vault":
        """Use `folder`, made if need be; if it is on a disk, nothing is kept and a warning says so.

        Raises StartupError for a folder that is not ours.
        """
        make_private(folder)
        vault = cls(folder)
        vault._usable = _filesystem(folder) in IN_MEMORY
        if vault._usable:
            vault._limit_bytes = min(MOST_BYTES, _size_bytes(folder) // MOST_SHARE or MOST_BYTES)
        else:
            logger.warning(
                "%s is not on a tmpfs: queued releases that have environment variables or registry "
                "credentials will not survive a restart of the daemon",
                folder,
            )
        return vault

    def put(self, release_id: str, secrets: Secrets) -> None:
        """Keep a release's secrets, if it has any, until they are discarded.

        Raises ResourceExhausted if there is no room for them.
        """
        if not secrets:
            return
        data = msgspec.json.encode(secrets)
        self._take(release_id, len(data))
        if self._usable:
            self._write(release_id, data)

    def share(self, release_id: str, other_id: str) -> None:
        """Keep a release's secrets, if there are any, for another one, too, until they are discarded of both.

        They take no more memory than before, but count twice. Raises ResourceExhausted if they can't be kept.
        """
        try:
            os.link(self._path(release_id), self._path(other_id))
        except FileNotFoundError:
            pass  # there are none, or they are lost
        except OSError as error:
            raise self._not_kept(error) from error
        if release_id in self._sizes:
            self._sizes[other_id] = self._sizes[release_id]

    def get(self, release_id: str) -> Secrets | None:
        """Return a release's secrets, or None if none were kept."""
        try:
            return msgspec.json.decode(self._path(release_id).read_bytes(), type=Secrets)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None  # a crash may have left half a file

    def discard(self, release_id: str) -> None:
        """Forget a release's secrets, if there are any."""
        self._sizes.pop(release_id, None)
        self._path(release_id).unlink(missing_ok=True)

    def keep_only(self, release_ids: set[str]) -> None:
        """Forget the secrets of all other releases than these, which an earlier daemon has accepted."""
        for path in self._folder.glob("*.json"):
            if path.stem in release_ids:
                self._sizes[path.stem] = _in_pages(path.stat().st_size)
            else:
                path.unlink()

    def _take(self, release_id: str, size: int) -> None:
        taken = sum(self._sizes.values())
        if taken + _in_pages(size) > self._limit_bytes:
            raise ResourceExhausted(
                "NO_ROOM_FOR_SECRETS",
                f"there is no room for the release's values: those of releases that have not ended take "
                f"{taken} of {self._limit_bytes} bytes: try again when some have ended, or cancel some",
            )
        self._sizes[release_id] = _in_pages(size)

    def _write(self, release_id: str, data: bytes) -> None:
        path = self._path(release_id)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
        except OSError as error:
            raise self._not_kept(error) from error

    def _not_kept(self, error: OSError) -> ResourceExhausted:
        message = f"the release's values can't be kept in memory, in {self._folder}: {error.strerror}"
        return ResourceExhausted("NO_ROOM_FOR_SECRETS", message)

    def _path(self, release_id: str) -> Path:
        return self._folder / f"{release_id}.json"


def _in_pages(size: int) -> int:
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def _size_bytes(folder: Path) -> int:
    """The size of the filesystem that a folder is on; 0 for one without a limit."""
    filesystem = os.statvfs(folder)
    return filesystem.f_blocks * filesystem.f_frsize


def _filesystem(folder: Path) -> str:
    """The type of the filesystem that a folder is on; see proc_pid_mountinfo(5)."""
    device = folder.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == number:
            return source.split()[0]
    return ""
