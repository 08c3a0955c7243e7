"""Writes times, durations and sizes for people."""

from __future__ import annotations

import signal
import unicodedata
from datetime import UTC, datetime
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from releasephase.v1.audit_service_pb2 import AuditPruning
    from releasephase.v1.release_pb2 import Caller, Receipt


def duration(seconds: float) -> str:
    """Return a duration with its two largest units: ``12ms``, ``4.2s``, ``1m12s``, ``30m``, ``2d4h``."""
    if 0.0005 <= seconds < 0.0995:
        return f"{seconds * 1000:.0f}ms"
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + "s"
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = [(days, "d"), (hour, "h"), (minute, "m"), (second, "s")]
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return "".join(f"{count}{unit}" for count, unit in parts[first : first + 2] if count)


def caller_name(caller: Caller) -> str:
    """Return who called: ``ci (uid 1000)``, or the number alone of a user without a name."""
    return f"{caller.user} (uid {caller.uid})" if caller.user else f"uid {caller.uid}"


def receipt(receipt: Receipt) -> str:
    """Return a receipt as `releasectl audit verify --receipt` takes it: ``SEQUENCE:DIGEST``."""
    return f"{receipt.sequence}:{receipt.digest}"


def pruned(pruning: AuditPruning) -> str:
    """Return what `releasectl audit verify` says of a part of the log that was removed."""
    what = "the output of the events" if pruning.kind == "output_pruned" else "the events"
    time = f" of {iso_time(pruning.event_time)}" if pruning.HasField("event_time") else ""
    return f"retention removed {what} through {pruning.through_sequence}, says event {pruning.sequence}{time}"


def clock(seconds: float) -> str:
    """Return a duration as a clock shows it: ``0:07``, ``12:30``, ``1:02:03``."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def size(count: float) -> str:
    """Return a number of bytes in units of 1024: ``0 B``, ``12.3 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.1f}".removesuffix(".0") + f" {unit}"
        count /= 1024
    return f"{count:.1f}".removesuffix(".0") + " TiB"


def iso_time(time: Timestamp) -> str:
    """Return a time in ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(time.seconds, UTC).isoformat().replace("+00:00", "Z")


def iso_time_ms(time: Timestamp) -> str:
    """Return a time in ISO 8601, UTC, to the millisecond."""
    return f"{iso_time(time)[:-1]}.{time.nanos // 1_000_000:03}Z"


def ago(seconds: float) -> str:
    """Return an age in its largest unit: ``just now``, ``3m ago``, ``2d ago``."""
    for length, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        if seconds >= length:
            return f"{int(seconds // length)}{unit} ago"
    return "just now"


def cell_width(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def shortened(text: str, width: int) -> str:
    """Return a text that takes at most `width` cells; what is left out is in its middle."""
    if cell_width(text) <= width:
        return text
    head = (width - 1) // 3
    return _first(text, head) + "…" + _first(text[::-1], width - 1 - head)[::-1]


def _first(text: str, width: int) -> str:
    """Return as much of the beginning of a text as has room in so many cells."""
    cells = accumulate(map(cell_width, text))
    return text[: sum(1 for _ in takewhile(lambda end: end <= width, cells))]


def signal_name(number: int) -> str:
    """Return the name of a signal, such as ``SIGTERM``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 command``, ``3 commands``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def span(first: int, last: int) -> str:
    """Return which events there are: ``event 3``, ``events 3 to 1,842``."""
    return f"event {first:,}" if first == last else f"events {first:,} to {last:,}"
