"""The release command in a Procfile, where people have it who come from elsewhere.

The form is Heroku's (devcenter.heroku.com/articles/procfile): `process type: command` in each line; the
process type `release` is the release phase's.
"""

import re
from datetime import timedelta

from released.model.command_form import refuse_line
from released.model.release import Command
from released.model.states import Source
from released.release.declaration import Malformed

NAME = "Procfile"

LABEL = "Release command"
"""What it is called: a Procfile has no labels."""

_PROCESS_TYPE = re.compile(r"(?P<type>[A-Za-z0-9_-]+):\s*(?P<command>.*)")


def procfile_commands(content: bytes, timeout: timedelta) -> tuple[Command, ...]:
    """Return the release command of a Procfile, if it has one. Raises Malformed."""
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError as error:
        raise Malformed(f"it is not UTF-8: {error}") from None
    found = [
        (number, match["command"].strip())
        for number, line in enumerate(lines, 1)
        if (match := _PROCESS_TYPE.fullmatch(line.strip())) and match["type"] == "release"
    ]
    if len(found) > 1:
        raise Malformed(f"line {found[1][0]} has a second release command: line {found[0][0]} has one")
    for number, command in found:
        if refusal := refuse_line(command):
            raise Malformed(f"line {number}: the release command {refusal}")
    return tuple(
        Command(label=LABEL, line=command, timeout=timeout, source=Source.PROCFILE) for _, command in found
    )
