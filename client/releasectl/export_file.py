"""A file of exported events, which each export goes on with where the one before ended."""

from __future__ import annotations

import json
import mmap
import os
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

_BEGINNING = b'{"sequence":'


class Last(NamedTuple):
    """The last event of a file."""

    sequence: int
    digest: str
    """In hex."""


class ExportFile:
    """Lines that are appended to a file, private and on the disk when it is closed.

    Raises OSError, and ValueError for a file whose last line is no event.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self.last = self._find_last()
            _make_durable(path.parent)
        except BaseException:
            os.close(self._descriptor)
            raise
        self._file = os.fdopen(self._descriptor, "ab")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._file:
            self._file.flush()
            os.fsync(self._descriptor)

    def write(self, line: bytes) -> None:
        """Append a line; it may be in a buffer until the file is closed."""
        self._file.write(line)

    def _find_last(self) -> Last | None:
        """Read the last line, and cut off what is behind it: an export was torn off there."""
        if not os.fstat(self._descriptor).st_size:
            return None
        with mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ) as content:
            end = content.rfind(b"\n") + 1
            begin = content.rfind(b"\n", 0, end - 1) + 1 if end else 0
            last = _read(content[begin:end]) if end else _nothing(content[: len(_BEGINNING)])
        os.ftruncate(self._descriptor, end)
        return last


def _read(line: bytes) -> Last:
    try:
        event = json.loads(line)
        return Last(int(event["sequence"]), str(event["digest"]))
    except (ValueError, TypeError, KeyError):
        raise ValueError("its last line is no event of an audit log") from None


def _nothing(head: bytes) -> Last | None:
    """None for a first line that was torn off. Whatever else it may be is refused, and stays."""
    if not _BEGINNING.startswith(head):
        raise ValueError("it is no export of an audit log")
    return None


def _make_durable(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
