"""Which paths of the host may be mounted: none that the system, the engine or the daemon live in.

A path is followed as the kernel does, step by step, and refused if somebody other than root or
the daemon's own user could change where it leads: what was checked could be swapped before the
engine mounts it. This is the rule of sshd's StrictModes, but for directories with the sticky
bit, in which nobody can swap what belongs to root or to us (Kupsch and Miller, "How to Open a
File and Not Get Hacked", 2008).
"""

import os
import pwd
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from released.model.caller import is_trusted

MOST_LINKS = 40
"""As many as the kernel follows, path_resolution(7)."""

_SYSTEM = """
    /bin /boot /dev /efi /etc /lib /lib32 /lib64 /libx32 /lost+found /nix /proc /root /run /sbin /snap
    /sys /usr /var/lib/containerd /var/lib/containers /var/lib/docker /var/lib/dpkg /var/lib/kubelet
    /var/lib/released /var/lib/rpm /var/lib/systemd /var/lock /var/log/journal /var/run /var/spool/anacron
    /var/spool/at /var/spool/cron
"""


class Refused(Exception):
    """This may not be mounted; the message says why, and what to do."""


class Place(NamedTuple):
    """What nobody may mount, nor anything in it, nor what it is in."""

    path: Path
    what: str
    with_siblings: bool = False
    """Whether what lies beside it and begins with its name belongs to it, as `audit.db-wal` to `audit.db`."""


SYSTEM_PLACES = tuple(Place(Path(path), "the system") for path in _SYSTEM.split())


class _Location(NamedTuple):
    """Where something is: on which device, and where on that. The same for all mounts of it."""

    device: str
    path: Path


def normal_path(path: str) -> str:
    """An absolute path without double slashes and dots, `..` apart. Two at its beginning are one to Linux."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))


class HostPaths:
    """The paths of this host, as the daemon sees them."""

    def __init__(self, places: Iterable[Place]) -> None:
        """`places` are taboo, beside those of the system."""
        self._places = (*SYSTEM_PLACES, *places)

    def resolve(self, source: str) -> str:
        """Return where a path leads to, which may be mounted as it is returned. Raises Refused.

        Asks the file system, which may take long.
        """
        path = Path(normal_path(source))
        self._refuse_inside(path)
        path, status = self._follow(path)
        if not (stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode)):
            raise Refused(f"{path} is neither a directory nor a regular file: only these can be mounted")
        self._refuse_around(path)
        self._refuse_other_names(path)
        return str(path)

    def _follow(self, path: Path) -> tuple[Path, os.stat_result]:
        """Return where a path leads to, without any link, and what is there."""
        at, status = Path("/"), os.lstat("/")
        steps = deque(path.parts[1:])
        links = 0
        while steps:
            step = steps.popleft()
            if step == "..":
                at = at.parent
                status = _look(at)
                continue
            status_of_folder, status = _look(at), _look(at / step)
            _refuse_changeable(at, status_of_folder, status)
            self._refuse_inside(at / step)
            if not stat.S_ISLNK(status.st_mode):
                at /= step
                continue
            links += 1
            if links > MOST_LINKS:
                raise Refused(f"{path} leads through more than {MOST_LINKS} links")
            target = Path(os.readlink(at / step))
            steps.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))
            at = Path("/") if target.is_absolute() else at
            status = _look(at)
        return at, status

    def _refuse_inside(self, path: Path) -> None:
        for place in self._places:
            if _is_inside(path, place):
                raise Refused(f"{path} belongs to {place.what} ({place.path}), and is never mounted")

    def _refuse_around(self, path: Path) -> None:
        for place in self._places:
            if _contains(path, place):
                raise Refused(f"{path} contains {place.path}, which belongs to {place.what}: never mounted")

    def _refuse_other_names(self, path: Path) -> None:
        """Refuse what is, under a name that another mount gives it, one of the places."""
        locate = _locator()
        here = locate(path)
        for place in self._places:
            there = locate(Path(os.path.realpath(place.path)))
            same = place._replace(path=there.path)
            if here.device == there.device and (_is_inside(here.path, same) or _contains(here.path, same)):
                raise Refused(f"{path} is another name for what belongs to {place.what} ({place.path})")


def _is_inside(path: Path, place: Place) -> bool:
    if _is_at_or_below(path, place.path):
        return True
    folder = place.path.parent
    if not place.with_siblings or path == folder or not _is_at_or_below(path, folder):
        return False
    return path.parts[len(folder.parts)].startswith(place.path.name)


def _contains(path: Path, place: Place) -> bool:
    return _is_at_or_below(place.path, path)


def _is_at_or_below(path: Path, folder: Path) -> bool:
    # Not is_relative_to, which is slow: a request may have a hundred mounts.
    return path.parts[: len(folder.parts)] == folder.parts


def _look(path: Path) -> os.stat_result:
    try:
        return os.lstat(path)
    except OSError as error:
        raise Refused(
            f"{path} can't be looked at: {error.strerror}. Make it, or let the daemon see it "
            "(its unit's ProtectHome=, PrivateTmp=)"
        ) from error


def _refuse_changeable(folder: Path, status: os.stat_result, entry: os.stat_result) -> None:
    """Refuse a folder in which somebody else could put another thing in the place of this entry."""
    if not is_trusted(status.st_uid):
        raise Refused(
            f"{folder} belongs to {_user(status.st_uid)}, who could swap what is mounted: "
            f"use `chown root {folder}`, or mount {folder} itself"
        )
    for_others = stat.S_IWGRP | stat.S_IWOTH
    sticky = bool(status.st_mode & stat.S_ISVTX) and is_trusted(entry.st_uid)
    if status.st_mode & for_others and not sticky:
        raise Refused(
            f"{folder} can be changed by others than root, who could swap what is mounted: "
            f"use `chmod go-w {folder}`, or mount {folder} itself"
        )


def _user(uid: int) -> str:
    try:
        return f"{pwd.getpwuid(uid).pw_name} (uid {uid})"
    except KeyError:
        return f"uid {uid}"


def _locator() -> Callable[[Path], _Location]:
    """Return what finds the location of a path that has no links in it; see proc_pid_mountinfo(5)."""
    mounts = {point: _Location(device, root) for point, device, root in _mounts()}

    def locate(path: Path) -> _Location:
        point = next(parent for parent in (path, *path.parents) if parent in mounts)
        device, root = mounts[point]
        return _Location(device, root / path.relative_to(point))

    return locate


def _mounts() -> Iterator[tuple[Path, str, Path]]:
    """Yield where what is mounted: mount point, device, root. The later of two hides the earlier."""
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        _, _, device, root, point, *_ = line.split(" ")
        yield _unescaped(point), device, _unescaped(root)


def _unescaped(text: str) -> Path:
    """A space, a tab, a line break and a backslash are written as octal numbers."""
    for character in " \t\n":
        text = text.replace(f"\\{ord(character):03o}", character)
    return Path(text.replace("\\134", "\\"))
