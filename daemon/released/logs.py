"""The daemon's own log: standard error, one line each, with the release it is about."""

import logging
import os
import re
import sys
from collections.abc import Callable
from contextvars import ContextVar

current_release: ContextVar[str] = ContextVar("current_release", default="")
"""What the lines of a task are about, such as `shop/live 0190163d-…`; tasks inherit it."""

current_mask: ContextVar[Callable[[str], str]] = ContextVar("current_mask", default=str)
"""Takes the secrets of the release that a task is about out of its lines; tasks inherit it."""

_JOURNAL_LEVELS = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
"""What would break a line, or tell a terminal to do something. A tab is neither."""


class OneLine(logging.Formatter):
    """Formats a record as one line, tracebacks included."""

    def __init__(self, for_journal: bool) -> None:
        super().__init__()
        self._for_journal = for_journal

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with the priority that journald reads (sd-daemon(3)) or with time and level."""
        release = current_release.get()
        message = f"[{release}] {record.getMessage()}" if release else record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        message = _CONTROL.sub(_escaped, current_mask.get()(message).rstrip())
        if self._for_journal:
            return f"<{_JOURNAL_LEVELS.get(record.levelname, 6)}>{record.name}: {message}"
        return f"{self.formatTime(record)} {record.levelname} {record.name}: {message}"


def _escaped(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode()


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record of gRPC's tells of more than a client that went away in the middle of a message."""
    return "ExecuteBatchError" not in record.getMessage()


def set_up() -> None:
    """Send the log of the whole process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine(for_journal="JOURNAL_STREAM" in os.environ))
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_ours)
    logging.basicConfig(level="INFO", handlers=[handler], force=True)
