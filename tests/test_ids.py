"""Ids of releases: UUIDs of version 7 that sort by time."""

import uuid
from datetime import UTC, datetime
from unittest.mock import patch

from released.model.ids import new_release_id, time_of

NOW = 1_717_000_000_123_456_789
"""Nanoseconds since 1970-01-01 UTC."""


def test_id_has_the_bits_of_version_7() -> None:
    """RFC 9562, section 5.7: the version is 7, the variant is the RFC's, whatever the random bits are."""
    for bits in (0, 2**80 - 1):
        with patch("secrets.randbits", return_value=bits):
            parsed = uuid.UUID(new_release_id())
        assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)


def test_id_begins_with_the_time() -> None:
    """RFC 9562, section 5.7: the first 48 bits are the milliseconds since 1970-01-01 UTC."""
    with patch("time.time_ns", return_value=NOW):
        assert uuid.UUID(new_release_id()).int >> 80 == NOW // 1_000_000


def test_later_ids_sort_behind_earlier_ones() -> None:
    """As text, too, even if the random bits of the earlier one are the greater ones."""
    with patch("time.time_ns", return_value=NOW), patch("secrets.randbits", return_value=2**80 - 1):
        earlier = new_release_id()
    with patch("time.time_ns", return_value=NOW + 1_000_000), patch("secrets.randbits", return_value=0):
        later = new_release_id()
    assert earlier < later


def test_ids_of_one_millisecond_differ() -> None:
    """By 74 random bits."""
    with patch("time.time_ns", return_value=NOW):
        assert len({new_release_id() for _ in range(1000)}) == 1000


def test_id_is_a_uuid_in_its_canonical_form() -> None:
    """Names of releases are compared as text."""
    release_id = new_release_id()
    assert str(uuid.UUID(release_id)) == release_id


def test_time_of_an_id() -> None:
    """To the millisecond. A UUID of another version has none, nor has one behind the year 9999."""
    with patch("time.time_ns", return_value=NOW):
        assert time_of(new_release_id()) == datetime(2024, 5, 29, 16, 26, 40, 123000, UTC)
    assert time_of(str(uuid.uuid4())) is None
    assert time_of("ffffffff-ffff-7fff-bfff-ffffffffffff") is None
