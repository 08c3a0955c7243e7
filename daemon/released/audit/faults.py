"""SQLite's errors as the application sees them: translated here and nowhere else."""

import sqlite3
from pathlib import Path
from typing import NamedTuple

from released.errors import ApplicationError, ResourceExhausted, StartupError, StoredDataError, Unavailable

LONGEST_WORDS = 200
"""Characters of what SQLite says about a damaged file, in a message about it."""


class Fault(NamedTuple):
    """Why the log can't be written or read. Each caller who is told gets an error of its own."""

    kind: type[ApplicationError]
    reason: str
    message: str

    def error(self) -> ApplicationError:
        """The error that says so."""
        return self.kind(self.reason, self.message)


_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
"""The second one: the file by which connections find their way in the write-ahead log could not grow."""

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_NO_ACCESS = {sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN}


def is_busy(error: BaseException) -> bool:
    """Whether another process holds a lock."""
    return _primary_code(error) == sqlite3.SQLITE_BUSY


def is_full(error: BaseException) -> bool:
    """Whether there was no room on the disk."""
    return getattr(error, "sqlite_errorcode", None) in _FULL


def is_damage(error: BaseException) -> bool:
    """Whether the file is no database any more, or one that does not fit together."""
    return _primary_code(error) in _DAMAGED


def is_of_the_disk(error: BaseException) -> bool:
    """Whether other events would have met the same error."""
    return is_full(error) or _primary_code(error) in _DAMAGED | _NO_ACCESS


def translate_write(error: Exception, path: Path) -> Fault:
    """What a caller is told whose events could not be stored."""
    if is_full(error):
        return disk_full(path, "make room on it")
    if is_damage(error):
        return damaged(error, path)
    return Fault(Unavailable, "AUDIT_UNWRITABLE", f"the audit log {path} can't be written: {error}")


def translate_read(error: Exception, path: Path) -> Fault:
    """What a caller is told whose query could not be answered."""
    if is_damage(error):
        return damaged(error, path)
    return Fault(Unavailable, "AUDIT_UNREADABLE", f"the audit log {path} can't be read: {error}")


def unusable(error: BaseException, path: Path) -> StartupError:
    """What the operator is told of a log that the daemon can't start with."""
    words = f"the audit log {path} can't be used: {error}"
    if isinstance(error, sqlite3.Error) and _primary_code(error) not in _DAMAGED | {sqlite3.SQLITE_ERROR}:
        return StartupError(words)  # it is its disk, or somebody who holds it
    return StoredDataError(
        f"{words}. See what is wrong with `releasectl audit verify --offline {path}`; then restore a backup, "
        "or move the file away with its -wal, and the daemon begins an empty log (docs/audit.md, Restore)"
    )


def disk_full(path: Path, advice: str) -> Fault:
    """There is no room on the disk of the log at `path`."""
    return Fault(ResourceExhausted, "AUDIT_DISK_FULL", f"the disk of the audit log {path} is full: {advice}")


def damaged(error: object, path: Path) -> Fault:
    """The file at `path` does not fit together, by what `error` says, which comes last: it may say much."""
    return Fault(
        Unavailable,
        "AUDIT_DAMAGED",
        f"the audit log {path} is damaged, and nothing more is written to it: see what is wrong with "
        f"`releasectl audit verify`, stop released and restore a backup ({_in_brief(error)})",
    )


def senseless(error: Exception, path: Path) -> Fault:
    """A row at `path` is such as the daemon never wrote, by `error`; others can be read, and written."""
    return Fault(
        Unavailable,
        "AUDIT_DAMAGED",
        f"the audit log {path} has a row that makes no sense: see what is wrong with "
        f"`releasectl audit verify`, and restore a backup ({error})",
    )


def _in_brief(error: object) -> str:
    """The head of SQLite's words, which name every page that is wrong; `audit verify` tells all of them."""
    words = str(error)
    return words if len(words) <= LONGEST_WORDS else f"{words[: LONGEST_WORDS - 1]}…"


def _primary_code(error: BaseException) -> int:
    """Extended codes have more bits (sqlite.org/rescode.html); 0 for what is not SQLite's."""
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF
