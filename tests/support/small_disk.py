"""A disk that is soon full: a tmpfs, or ext4 in a file, which only root can mount."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILLER = "filler"
KIB = 1024


@contextmanager
def small_disk(folder: Path, kib: int) -> Iterator[Path]:
    """Mount an empty disk of so many KiB on `folder` for the block."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=700", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def small_ext4_disk(folder: Path, kib: int) -> Iterator[Path]:
    """Mount an empty ext4 of so many KiB in all on `folder` for the block; its image lies beside it."""
    folder.mkdir()
    image = folder.with_name(folder.name + ".img")
    with image.open("wb") as file:
        file.truncate(kib * KIB)
    # Nothing kept for root, whom tests run as.
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-m", "0", "-O", "^resize_inode", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> None:
    """Leave no room at all."""
    with (disk / FILLER).open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * KIB):
                pass
        except OSError:
            pass


def fill_to_the_last_byte(disk: Path) -> None:
    """Take what little room there is left after all, byte by byte."""
    with (disk / "another").open("wb", buffering=0) as file:
        try:
            while file.write(b"\0"):
                pass
        except OSError:
            assert free_bytes(disk) == 0


def make_room(disk: Path) -> None:
    """Take away what `fill` wrote."""
    (disk / FILLER).unlink()


def enlarge(disk: Path, kib: int) -> None:
    """Give the disk so many KiB in all."""
    subprocess.run(["mount", "-o", f"remount,size={kib}k", disk], check=True)


def free_bytes(disk: Path) -> int:
    """How much room there is."""
    state = os.statvfs(disk)
    return state.f_bavail * state.f_frsize
