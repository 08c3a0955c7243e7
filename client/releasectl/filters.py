"""Writes the filters of ListReleases and ListEvents, in the form of AIP-160."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def release_filter(
    *,
    application: str = "",
    environment: str = "",
    state: str = "",
    cause: str = "",
    outcome: str = "",
    caller: str = "",
    requested_by: str = "",
    image: str = "",
    digest: str = "",
    created_since: datetime | None = None,
    created_until: datetime | None = None,
    longer_than: timedelta | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Return the filter for releases to which all that is given applies.

    In `caller`, `requested_by`, `image` and `digest` a ``*`` stands for any characters.

    Args:
        application: The slug of the application.
        environment: The slug of the environment.
        state: The name of a release state without its prefix, such as ``FAILED``.
        cause: The name of a cause of failure without its prefix, such as ``COMMAND_TIMED_OUT``.
        outcome: ``DEPLOYED``, ``ABANDONED``, or ``NONE`` for what is not reported.
        caller: The name or the number of the user who started it, as the kernel says.
        requested_by: Who asked for it, as the caller claims.
        image: The image as the request named it.
        digest: The digest of the image, with or without its repository.
        created_since: The earliest create_time, with a time zone.
        created_until: The time before which it was created, with a time zone.
        longer_than: What it took more than, from leaving the queue to its end.
        labels: The caller's own labels and their values.
    """
    return " AND ".join(
        (
            *_equal("application", application, _quoted),
            *_equal("environment", environment, _quoted),
            *_equal("state", state, str),
            *_equal("cause", cause, str),
            *_equal("outcome", outcome, str),
            *_equal("caller", caller, _pattern),
            *_equal("requested_by", requested_by, _pattern),
            *_equal("image", image, _pattern),
            *_equal("digest", digest, _pattern),
            *_between("create_time", created_since, created_until),
            *_longer(longer_than),
            *_labelled(labels or {}),
        )
    )


def event_filter(*, kind: str = "", since: datetime | None = None, until: datetime | None = None) -> str:
    """Return the filter for events of the audit log to which all that is given applies.

    Args:
        kind: What happened, such as ``command_started``.
        since: The earliest event_time, with a time zone.
        until: The time before which it happened, with a time zone.
    """
    return " AND ".join((*_equal("kind", kind, _quoted), *_between("event_time", since, until)))


def joined(*filters: str) -> str:
    """Return the filter for what all of these let through; empty ones let everything through.

    Nothing binds less tightly than AND: none of them needs parentheses, which would move the positions
    that the daemon names.
    """
    return " AND ".join(filter for filter in filters if filter.strip())


def _equal(field: str, value: str, written: Callable[[str], str]) -> Iterator[str]:
    if value:
        yield f"{field} = {written(value)}"


def _between(field: str, since: datetime | None, until: datetime | None) -> Iterator[str]:
    if since:
        yield f"{field} >= {_instant(since)}"
    if until:
        yield f"{field} < {_instant(until)}"


def _longer(than: timedelta | None) -> Iterator[str]:
    if than is not None:
        yield f"duration > {than / timedelta(milliseconds=1):.0f}ms"


def _labelled(labels: Mapping[str, str]) -> Iterator[str]:
    for name, value in labels.items():
        field = name if _PLAIN_NAME.fullmatch(name) else _quoted(name)
        yield f"labels.{field} = {_quoted(value)}"


def _instant(time: datetime) -> str:
    return '"' + time.astimezone(UTC).isoformat().replace("+00:00", "Z") + '"'


def _quoted(text: str) -> str:
    """A text in which nothing has a meaning."""
    return _pattern(text).replace("*", r"\*")


def _pattern(text: str) -> str:
    """A text in which `*` stands for any characters."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
