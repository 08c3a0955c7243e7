"""Durations in the form in which people write and read them: `30m`, `1h30m`, `0.5s`."""

import re
from datetime import timedelta

_NUMBER = r"\d{1,9}(?:\.\d{1,9})?"
_FORM = re.compile(rf"(?:({_NUMBER})d)?(?:({_NUMBER})h)?(?:({_NUMBER})m)?(?:({_NUMBER})s)?", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """The duration that a text such as `90s`, `30m` or `1h30m` stands for. Raises ValueError."""
    match = _FORM.fullmatch(text)
    if not text or match is None:
        raise ValueError(f"{text!r} is not a duration; write 90s, 30m or 1h30m")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    try:
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        raise ValueError(f"{text!r} is too long") from None


def in_words(duration: timedelta) -> str:
    """In that form, which is also releasectl's."""
    minutes, seconds = divmod(duration.total_seconds(), 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "m"), (seconds, "s"))
    return "".join(f"{count:.4g}{unit}" for count, unit in parts if count) or "0s"
