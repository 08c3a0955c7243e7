"""Copies the audit log while the daemon writes to it, with SQLite's own online backup.

The daemon is confined to its own folders, so the copy is made by the caller, who has to be
allowed to read the log.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from .durable import make_durable
from .exceptions import PermissionDenied, ReleasephaseError

PAGES_AT_ONCE = 2500
"""Some 10 MB: how often progress is told."""

BESIDE_LOG = ("", "-wal", "-shm", "-journal", ".key", ".reserve")
"""What the files end with that the daemon keeps of a log, added to its path."""

BESIDE_COPY = ("-wal", "-shm", "-journal")
"""What SQLite takes for a part of the database that it lies beside, whichever that once was."""

Progress = Callable[[int, int], None]
"""Told how many pages are copied, and of how many. What it raises ends the backup."""


class Copy(NamedTuple):
    """What was copied."""

    size_bytes: int
    sequence: int
    """Of the newest event in the copy, 0 if there is none."""
    digest: str
    """Of that event, in hexadecimal: with its sequence, a receipt."""


async def backed_up(source: Path, copy: Path, on_progress: Progress) -> Copy:
    """Do what `back_up` does in a thread; if this is cancelled, the copy is given up."""
    stopped = threading.Event()

    def tell(done: int, total: int) -> None:
        if stopped.is_set():
            raise InterruptedError("it was stopped")
        on_progress(done, total)

    try:
        return await asyncio.to_thread(back_up, source, copy, tell)
    finally:
        stopped.set()


def back_up(source: Path, copy: Path, on_progress: Progress) -> Copy:
    """Copy the audit log `source` to the new file `copy`, as it is at one moment; whole or not at all.

    A file that is there is replaced, unless it is the log's own. The new one can be read by its owner only.

    Raises:
        PermissionDenied: the log may not be read.
        ReleasephaseError: it can't be read, or the copy can't be written there.
    """
    _check_readable(source)
    unfinished = copy.with_name(f"{copy.name}.new")
    try:
        _check_place(source, copy)
        return _write(source, unfinished, copy, on_progress)
    except OSError as error:
        raise ReleasephaseError(f"the backup {copy} can't be written: {error.strerror or error}") from None
    except sqlite3.Error as error:
        raise ReleasephaseError(f"the audit log {source} can't be copied to {copy}: {error}") from None
    finally:
        with suppress(OSError):  # there is none, or there is nothing that could be done about it
            unfinished.unlink()


def _check_readable(source: Path) -> None:
    """SQLite says no more than that a file can't be opened."""
    try:
        source.open("rb").close()
    except PermissionError:
        raise PermissionDenied(
            f"{source} may not be read: make the backup as root, or as the user of the daemon"
        ) from None
    except OSError as error:
        raise ReleasephaseError(f"the audit log {source} can't be read: {error.strerror}") from None


def _check_place(source: Path, copy: Path) -> None:
    """The copy takes the place of nothing that is the log's, and nothing there is taken for part of it."""
    # SQLite follows a link, and keeps its files beside what it leads to.
    for log in (source, source.resolve()):
        for ending in BESIDE_LOG:
            if _is_same(Path(f"{log}{ending}"), copy):
                raise ReleasephaseError(
                    f"{copy} belongs to the audit log itself, and a copy in its place would destroy it: "
                    "name another file"
                )
    for ending in BESIDE_COPY:
        left = Path(f"{copy}{ending}")
        if os.path.lexists(left):
            raise ReleasephaseError(
                f"{left} is left of another database, and would be taken for a part of the copy: end what "
                "uses it, remove it, or name another file"
            )


def _is_same(path: Path, other: Path) -> bool:
    """Whether both are one file, or would be."""
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.resolve() == other.resolve()


def _write(source: Path, unfinished: Path, copy: Path, on_progress: Progress) -> Copy:
    with suppress(FileNotFoundError):
        unfinished.unlink()
    # Exclusive: nobody else's link leads elsewhere.
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        head = _copy_pages(source, unfinished, on_progress)
        os.fsync(descriptor)
        unfinished.rename(copy)
        size = os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)
    make_durable(copy.parent)
    return Copy(size, *head)


def _copy_pages(source: Path, unfinished: Path, on_progress: Progress) -> tuple[int, str]:
    """Copy all pages, and return the newest event's sequence and digest."""
    uri = f"{source.absolute().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as log,
        closing(sqlite3.connect(unfinished, isolation_level=None)) as target,
    ):
        # In one transaction, so that all steps copy the log as it is now, whatever is appended meanwhile.
        log.execute("BEGIN")
        newest = log.execute("SELECT sequence, hex(digest) FROM events ORDER BY sequence DESC LIMIT 1")
        sequence, digest = newest.fetchone() or (0, "")
        # A file that is not whole is thrown away.
        target.execute("PRAGMA synchronous = OFF")
        target.execute("PRAGMA journal_mode = OFF")
        log.backup(
            target,
            pages=PAGES_AT_ONCE,
            progress=lambda _, remaining, total: on_progress(total - remaining, total),
        )
    return sequence, digest.lower()
