"""Ids of releases and of commands in settings: UUIDs of version 7, which sort by time."""

import secrets
import time
import uuid
from datetime import UTC, datetime, timedelta


def new_release_id() -> str:
    """Return the id of a release that is new."""
    return _uuid7()


def new_command_id() -> str:
    """Return the id of a command that is new in settings."""
    return _uuid7()


def time_of(release_id: str) -> datetime | None:
    """When an id was made, to the millisecond; None for a UUID of another version, or of no time there is."""
    value = uuid.UUID(release_id)
    if value.version != 7:
        return None
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=value.int >> 80)
    except OverflowError:
        return None


def _uuid7() -> str:
    """Return a UUID of version 7 (RFC 9562, section 5.7); Python has one of its own from 3.14 on."""
    milliseconds = time.time_ns() // 1_000_000
    value = milliseconds << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return str(uuid.UUID(int=value))
