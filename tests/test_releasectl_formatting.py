"""Times, durations and sizes, as people read them."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from releasectl import formatting


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0s"),
        (0.0004, "0s"),
        (0.0123, "12ms"),
        (0.0994, "99ms"),
        (0.0996, "0.1s"),
        (4.23, "4.2s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m"),
        (72, "1m12s"),
        (1800, "30m"),
        (3600, "1h"),
        (5400, "1h30m"),
        (3605, "1h"),
        (187200, "2d4h"),
    ],
)
def test_durations(seconds: float, expected: str) -> None:
    """The two largest units are enough."""
    assert formatting.duration(seconds) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0:00"), (7.9, "0:07"), (750, "12:30"), (3723, "1:02:03")]
)
def test_clocks(seconds: float, expected: str) -> None:
    """A clock never runs ahead."""
    assert formatting.clock(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (12_900_000, "12.3 MiB"),
        (2**30, "1 GiB"),
        (5 * 2**40, "5 TiB"),
        (5000 * 2**40, "5000 TiB"),
    ],
)
def test_sizes(count: int, expected: str) -> None:
    """Units of 1024, one decimal where it says something."""
    assert formatting.size(count) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (-3, "just now"),
        (0.4, "just now"),
        (59, "59s ago"),
        (60, "1m ago"),
        (7300, "2h ago"),
        (86400, "1d ago"),
        (200000, "2d ago"),
    ],
)
def test_ages(seconds: float, expected: str) -> None:
    """The largest unit is enough."""
    assert formatting.ago(seconds) == expected


def test_times() -> None:
    """ISO 8601 in UTC, to the second."""
    assert formatting.iso_time(Timestamp(seconds=1769860800, nanos=999)) == "2026-01-31T12:00:00Z"


def test_signals() -> None:
    """Signals have names, and real-time signals numbers."""
    assert formatting.signal_name(15) == "SIGTERM"
    assert formatting.signal_name(40) == "signal 40"


def test_plurals() -> None:
    """One is not many."""
    assert [formatting.plural(count, "event") for count in (0, 1, 12345)] == [
        "0 events",
        "1 event",
        "12,345 events",
    ]


def test_shortening_keeps_both_ends() -> None:
    """Of an image both registry and tag tell something, the tag more."""
    assert formatting.shortened("registry.example/shop:42", 12) == "reg…/shop:42"
    assert formatting.shortened("shop:42", 12) == "shop:42"
    assert formatting.shortened("データベースを移行する", 12) == "デ…移行する"


def test_wide_characters_take_two_cells() -> None:
    """Columns stay aligned under labels of any script."""
    assert formatting.cell_width("移行 ok") == 7
