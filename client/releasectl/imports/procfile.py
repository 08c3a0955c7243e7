"""Procfile: the process type ``release``.

Its form, ``<process type>: <command>`` on a line of its own, is that of
https://devcenter.heroku.com/articles/procfile ; that ``release`` is what runs before a release goes live, of
https://devcenter.heroku.com/articles/release-phase . Dokku reads the same
(https://dokku.com/docs/advanced-usage/deployment-tasks/). Lines that begin with # are comments.
"""

from __future__ import annotations

import re

from .fields import checked, listed
from .found import Found, ImportFailed, shell_lines
from .shell import line_notes

_LINE = re.compile(r"([A-Za-z0-9_-]+)\s*:(.*)", re.DOTALL)
_RELEASE = "release"


def read(text: str) -> Found:
    """Return the command of the process type ``release``, for a shell."""
    lines: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ImportFailed(f"line {number}: must have the form `process type: command`")
        name, command = match[1], match[2].strip()
        if name in lines:
            raise ImportFailed(f"line {number}: {name}: is on line {lines[name][0]} already")
        lines[name] = number, command
    others = tuple(name for name in lines if name != _RELEASE)
    if _RELEASE not in lines:
        raise ImportFailed(f"has no line `release: command`; it has {listed(others)}")
    number, command = lines[_RELEASE]
    place = f"line {number}: release"
    if not command:
        raise ImportFailed(f"{place}: is empty")
    commands = shell_lines("Release command", [(place, checked(command, place))])
    return Found(commands, tuple(line_notes(place, command)), others)
