"""A file of exported events, which each export goes on with where the one before ended."""

from __future__ import annotations

import json
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from .durable import make_durable

_BEGINNING = b'{"sequence":'


class Last(NamedTuple):
    """The last event of a file."""

    sequence: int
    digest: str
    """In hex."""


class ExportFile:
    """Lines that are appended to a file, private and on the disk when it is closed.

    Nothing is made or changed before the first line, or the end of an export without any.

    Raises OSError that names the file, and ValueError for a file whose last line is no event.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._end = 0
        """How many bytes of it are kept. An export was torn off behind them."""
        self.last: Last | None = None
        self._file: BufferedWriter | None = None
        with _naming(path), suppress(FileNotFoundError), open(path, "rb", opener=_at_once) as file:
            self._end, self.last = _find_last(file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._file is None and kind is not None:
            return
        with _naming(self._path), self._opened() as file:
            file.flush()
            if _is_plain(file.fileno()):
                os.fsync(file.fileno())

    def write(self, line: bytes) -> None:
        """Append a line; it may be in a buffer until the file is closed."""
        with _naming(self._path):
            self._opened().write(line)

    def _opened(self) -> BufferedWriter:
        if self._file is None:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(descriptor, "ab")
            if _is_plain(descriptor):
                os.fchmod(descriptor, 0o600)
                os.ftruncate(descriptor, self._end)
            make_durable(self._path.parent)
        return self._file


def _at_once(path: str, flags: int) -> int:
    """A pipe is not waited for."""
    return os.open(path, flags | os.O_NONBLOCK)


def _is_plain(descriptor: int) -> bool:
    """Whether it is a file with a content, and no device or pipe, which is for others, too."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an error of the system's, which only names what is opened."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _find_last(descriptor: int) -> tuple[int, Last | None]:
    """Return where the last whole line of a file ends, and the event that it is."""
    if not os.fstat(descriptor).st_size:
        return 0, None
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        end = content.rfind(b"\n") + 1
        begin = content.rfind(b"\n", 0, end - 1) + 1 if end else 0
        return end, _read(content[begin:end]) if end else _nothing(content[: len(_BEGINNING)])


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
