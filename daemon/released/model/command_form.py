"""The form of a release command, wherever it is declared: in a request, in settings, or by an image.

Each function returns what is wrong, as the end of a sentence that begins with the field, or an empty text.
"""

import shlex
from collections.abc import Iterable, Sequence
from datetime import timedelta

from released.model.forms import is_line

MOST_COMMANDS = 100
LONGEST_LABEL = 200
LONGEST_LINE = 64 * 1024
"""Bytes. The kernel takes 128 KiB for one argument (MAX_ARG_STRLEN, execve(2))."""
LONGEST_ARGUMENTS = 1024 * 1024
"""Bytes of all commands and variables: the kernel takes 2 MiB for them and more (execve(2))."""
LONGEST_TIMEOUT = timedelta(days=7)


def refuse_label(label: str) -> str:
    """A label is what people call a command."""
    if not label.strip() or not is_line(label) or len(label) > LONGEST_LABEL:
        return f"must be one line of 1 to {LONGEST_LABEL} characters"
    return ""


def refuse_line(line: str) -> str:
    """A line is for `/bin/sh -c`."""
    return _refuse_size(line) if line.strip() else "must not be empty"


def refuse_argv(argv: Sequence[str]) -> str:
    """An argv is a program and its arguments; quoted into a line, it has the limits of one."""
    return _refuse_size(shlex.join(argv)) if argv and argv[0] else "must begin with a program"


def refuse_timeout(timeout: timedelta) -> str:
    """A timeout ends what takes too long; less than a microsecond would be none."""
    if not timedelta() < timeout <= LONGEST_TIMEOUT:
        return f"must be more than 0 and {LONGEST_TIMEOUT.days} days at most"
    return ""


def refuse_total(shell_lines: Iterable[str], environment_bytes: int) -> str:
    """All commands of a release and its variables have to fit the arguments of one process."""
    total = sum(len(line.encode()) for line in shell_lines)
    if total + environment_bytes > LONGEST_ARGUMENTS:
        return f"must be {LONGEST_ARGUMENTS} bytes at most, together with env"
    return ""


def _refuse_size(line: str) -> str:
    if len(line.encode()) > LONGEST_LINE:
        return f"must be {LONGEST_LINE} bytes at most"
    return "must not contain a NUL character" if "\0" in line else ""
