"""Durations in words, for messages."""

from datetime import timedelta


def in_words(duration: timedelta) -> str:
    """`30m`, `1h30m`, `0.5s`: in the form in which releasectl reads and shows durations."""
    minutes, seconds = divmod(duration.total_seconds(), 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{count:.4g}{unit}" for count, unit in parts if count) or "0s"
