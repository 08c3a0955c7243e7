"""Writes the filter of ListReleases, in the form of AIP-160."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def release_filter(
    *,
    application: str = "",
    environment: str = "",
    state: str = "",
    created_since: datetime | None = None,
    labels: Mapping[str, str] | None = None,
) -> str:
    """Return the filter for releases to which all that is given applies.

    Args:
        application: The slug of the application.
        environment: The slug of the environment.
        state: The name of a release state without its prefix, such as ``FAILED``.
        created_since: The earliest create_time, with a time zone.
        labels: The caller's own labels and their values.
    """
    return " AND ".join(_terms(application, environment, state, created_since, labels or {}))


def _terms(
    application: str,
    environment: str,
    state: str,
    created_since: datetime | None,
    labels: Mapping[str, str],
) -> Iterator[str]:
    if application:
        yield f"application = {_quoted(application)}"
    if environment:
        yield f"environment = {_quoted(environment)}"
    if state:
        yield f"state = {state}"
    if created_since:
        instant = created_since.astimezone(UTC).isoformat().replace("+00:00", "Z")
        yield f"create_time >= {_quoted(instant)}"
    for name, value in labels.items():
        field = name if _PLAIN_NAME.fullmatch(name) else _quoted(name)
        yield f"labels.{field} = {_quoted(value)}"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
