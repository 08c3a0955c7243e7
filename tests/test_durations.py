"""Durations in words."""

from datetime import timedelta

import pytest

from released.model.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.5, "0.5s"),
        (2, "2s"),
        (59, "59s"),
        (60, "1m"),
        (90, "1m30s"),
        (1800, "30m"),
        (5400, "1h30m"),
        (86400, "1d"),
        (0, "0s"),
        (0.0123456, "0.01235s"),
    ],
)
def test_the_form_is_that_of_the_command_line(seconds: float, words: str) -> None:
    """What a message says can be copied into an option."""
    assert in_words(timedelta(seconds=seconds)) == words
