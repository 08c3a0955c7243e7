"""Page tokens."""

import base64
import struct

import pytest

from released.errors import InvalidRequest
from released.service.pages import FIRST, next_page_token, read_page_token


@pytest.mark.parametrize("before", [1, 1000, FIRST])
@pytest.mark.parametrize("filter_text", ["", "state = FAILED", "labels.ä = 'ö'"])
def test_token_gives_what_it_was_made_of(before: int, filter_text: str) -> None:
    """A list goes on where its last page ended."""
    assert read_page_token(next_page_token(before, filter_text), filter_text) == before


def test_no_token_stands_for_the_first_page() -> None:
    """Which begins with the newest release."""
    assert read_page_token("", "state = FAILED") == FIRST


def test_token_needs_no_escaping() -> None:
    """It can be pasted into a command line and a URL."""
    tokens = "".join(next_page_token(before, f"filter {before}") for before in range(200))
    assert tokens.replace("-", "").replace("_", "").isalnum()


@pytest.mark.parametrize("other", ["", "state = QUEUED", "state = FAILED "])
def test_token_belongs_to_its_filter(other: str) -> None:
    """With another one, it would skip releases silently."""
    with pytest.raises(InvalidRequest) as refused:
        read_page_token(next_page_token(5, "state = FAILED"), other)
    assert refused.value.violations == (
        ("page_token", "belongs to another filter: start from the first page"),
    )


@pytest.mark.parametrize(
    "token", ["x", "5", "next", "ä", "\0", next_page_token(5, "")[:-1], next_page_token(5, "") + "AAAA"]
)
def test_anything_else_is_refused(token: str) -> None:
    """Tokens are this daemon's own affair."""
    with pytest.raises(InvalidRequest) as refused:
        read_page_token(token, "")
    assert refused.value.violations == (("page_token", "is not one that this daemon gave"),)


def test_token_with_a_number_that_no_sequence_has_is_refused() -> None:
    """SQLite would not take it."""
    raw = base64.urlsafe_b64decode(next_page_token(5, "") + "=" * 2)
    forged = base64.urlsafe_b64encode(struct.pack(">Q", FIRST + 1) + raw[8:]).decode()
    with pytest.raises(InvalidRequest):
        read_page_token(forged, "")
