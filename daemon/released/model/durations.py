"""Durations in words, for messages."""

from datetime import timedelta

_UNITS = ((3600.0, "h"), (60.0, "min"))


def in_words(duration: timedelta) -> str:
    """`30 min`, `1.5 h`, `2 s`: in the largest unit of which there is at least one."""
    seconds = duration.total_seconds()
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds:.4g} s"
