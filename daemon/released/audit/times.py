"""Times as the database stores them: microseconds since 1970-01-01 UTC."""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def as_time(microseconds: int) -> datetime:
    """The time that is stored as microseconds."""
    return _EPOCH + timedelta(microseconds=microseconds)


def as_microseconds(time: datetime) -> int:
    """How a time (which has a zone) is stored."""
    return (time - _EPOCH) // _MICROSECOND
