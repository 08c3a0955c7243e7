"""Patterns of deployment targets."""

import pytest

from released.model.patterns import TargetPattern
from released.model.release import Target


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("shop/live", ["shop/live"], ["shop/test", "blog/live", "shop2/live"]),
        ("shop/*", ["shop/live", "shop/test"], ["shop-eu/live"]),
        ("*/live", ["shop/live", "blog/live"], ["shop/test"]),
        ("shop*/*-eu", ["shop/live-eu", "shop-2/t-eu"], ["shop/eu", "blog/live-eu"]),
        ("*/*", ["a/b"], []),
    ],
)
def test_star_stands_for_any_text_of_a_part(pattern: str, matching: list[str], others: list[str]) -> None:
    """Also for none; never for a slash."""
    parsed = TargetPattern.parse(pattern)
    for text in matching + others:
        application, environment = text.split("/")
        assert parsed.matches(Target(application, environment)) is (text in matching), text
    assert str(parsed) == pattern


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "shop",
        "shop/",
        "/live",
        "shop/live/x",
        "Shop/live",
        "shop/[a-z]",
        "sho?/live",
        "-a/b",
        " shop/live",
    ],
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    """With the form that it should have."""
    with pytest.raises(ValueError, match=r"is no deployment target: use application/environment"):
        TargetPattern.parse(text)
