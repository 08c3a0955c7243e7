"""Reads what people write on the command line. Every function raises ValueError with
a message that says what is expected."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from .options import Command, Mount

_DURATION = re.compile(
    r"(?:(\d{1,6})d)?(?:(\d{1,7})h)?(?:(\d{1,8})m)?(?:(\d{1,9}(?:\.\d{1,6})?)s)?", re.ASCII
)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_INT64_MAX = 2**63 - 1


def parse_duration(text: str) -> timedelta:
    """Return the duration written such as ``90s``, ``30m`` or ``1h30m``."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is not a duration; write 90s, 30m or 1h30m")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def parse_size(text: str) -> int:
    """Return the number of bytes written such as ``512m`` or ``2g``; a k is 1024 bytes."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size; write 512m or 2g")
    size = int(float(match[1]) * _UNITS[match[2].lower()])
    if size == 0:
        raise ValueError(f"{text!r} is nothing; leave it out for the default")
    if size > _INT64_MAX:
        raise ValueError(f"{text!r} is more than any machine has")
    return size


def parse_command(text: str) -> Command:
    """Return the release command written as ``label=shell line``."""
    label, line = _labelled(text)
    if not (label and line):
        raise ValueError(
            f"a command is written 'label=shell line', such as 'migrate=./migrate', not {text!r}"
        )
    return Command(label, line)


def parse_program(text: str) -> Command:
    """Return the release command written as ``label=program arguments``.

    Blanks, quotes and backslashes mean what they mean to a POSIX shell; nothing is expanded.
    """
    label, line = _labelled(text)
    argv = _split(line)
    if not (label and argv):
        raise ValueError(
            f"a program is written 'label=program arguments', such as 'migrate=./migrate --yes', not {text!r}"
        )
    return Command(label, argv=argv)


def parse_rollback(text: str) -> tuple[str, str]:
    """Return the label and the line of a rollback written as ``label=shell line``."""
    label, line = _labelled(text)
    if not (label and line):
        raise ValueError(f"a rollback is written 'label=shell line', such as 'migrate=./undo', not {text!r}")
    return label, line


def parse_argv(text: str) -> list[str]:
    """Return the argv written as ``program arguments``, which are split as by `parse_program`."""
    if not (argv := _split(text)):
        raise ValueError(f"a program is written 'program arguments', such as './migrate --yes', not {text!r}")
    return argv


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} can't be split as a shell does: {error}") from None


def _labelled(text: str) -> tuple[str, str]:
    label, _, line = text.partition("=")
    return label.strip(), line.strip()


def parse_mount(text: str) -> Mount:
    """Return the mount written as ``SRC:DST``, ``SRC:DST:ro`` or ``SRC:DST:rw``."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not (source and target) or mode not in ("", "ro", "rw"):
        raise ValueError(f"a volume is written SRC:DST or SRC:DST:ro, not {text!r}")
    return Mount(source, target, read_only=mode == "ro")


def parse_pair(text: str) -> dict[str, str]:
    """Return the mapping written ``NAME=VALUE``."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"write NAME=VALUE, not {text!r}")
    return {name: value}


def parse_variable(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variable written ``NAME=VALUE``, or ``NAME`` to take the caller's value.

    As with docker, a name that the caller's environment does not have is left out.
    """
    name, equals, value = text.partition("=")
    if not name:
        raise ValueError(f"write NAME=VALUE or NAME, not {text!r}")
    if equals:
        return {name: value}
    return {name: environ[name]} if name in environ else {}


def parse_secret(text: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variable written ``NAME=VALUE``, or ``NAME`` to take the caller's value.

    A name that the caller's environment does not have is refused: a release would run without it.
    """
    secret = parse_variable(text, environ)
    if not secret:
        raise ValueError(f"{text} is not set in your environment; write {text}=VALUE, or set it")
    return secret


def parse_env_file(content: bytes, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a file in docker's format.

    One ``NAME=VALUE`` or ``NAME`` a line; values are taken as they are, quotes
    included; lines that begin with # are comments. See docker/cli opts/file.go.
    """
    variables: dict[str, str] = {}
    for number, line in _lines(content):
        name = line.partition("=")[0]
        if not name or re.search(r"\s", name):
            raise ValueError(f"line {number}: {name!r} is not the name of a variable")
        variables |= parse_variable(line, environ)
    return variables


def _lines(content: bytes) -> Iterator[tuple[int, str]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8: {error.reason} at byte {error.start}") from None
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.removesuffix("\r").lstrip()
        if stripped and not stripped.startswith("#"):
            yield number, stripped


def parse_since(text: str, now: datetime) -> datetime:
    """Return the instant written as an age (``1d``, ``2h``) or as an ISO date or time.

    Without a time zone it is the caller's local time.
    """
    try:
        if _DURATION.fullmatch(text):
            return now - parse_duration(text)
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is neither an age nor a date; write 2h, 1d, 2026-01-31 or 2026-01-31T12:00Z"
        ) from None


def parse_release_name(text: str) -> str:
    """Return the resource name for ``releases/UUID`` or the bare UUID."""
    from uuid import UUID

    try:
        return f"releases/{UUID(text.removeprefix('releases/'))}"
    except ValueError:
        raise ValueError(f"a release is written releases/UUID or UUID, not {text!r}") from None


def parse_application(text: str) -> str:
    """Return the application written ``APP``: what has an environment is a deployment target."""
    if not text or "/" in text:
        raise ValueError(f"write APP, such as shop, not {text!r}: settings are those of all environments")
    return text


def parse_etag(text: str) -> str:
    """Return the etag. An empty one would stand for whatever is there: that is what leaving it out says."""
    if not text:
        raise ValueError("an etag is not empty; leave it out for whatever is there")
    return text


def parse_scope(text: str) -> tuple[str, str]:
    """Return application and environment of ``APP`` or ``APP/ENV``."""
    application, slash, environment = text.partition("/")
    if not application or (slash and not environment) or "/" in environment:
        raise ValueError(f"write APP or APP/ENV, not {text!r}")
    return application, environment
