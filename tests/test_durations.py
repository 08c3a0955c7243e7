"""Durations in words."""

from datetime import timedelta

import pytest

from released.model.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "0.5 s"),
        (2, "2 s"),
        (59, "59 s"),
        (60, "1 min"),
        (90, "1.5 min"),
        (1800, "30 min"),
        (86400, "24 h"),
    ],
)
def test_the_largest_unit_of_which_there_is_one_is_used(seconds: float, words: str) -> None:
    """A reader sees 30 min, not 0:30:00."""
    assert in_words(timedelta(seconds=seconds)) == words
