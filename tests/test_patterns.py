"""Patterns of the configuration: what they match, and which of them can match the same target."""

from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from released.model.patterns import TargetPattern, matches
from released.model.release import Target


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("shop/*", "shop/live", True),
        ("shop/*", "shop/", True),
        ("shop/*", "shop/a/b", False),
        ("shop/*", "webshop/live", False),
        ("*/live", "shop/live", True),
        ("s*p/l*", "shop/live", True),
        ("shop/live", "shop/live", True),
        ("shop/live", "shop/live\n", False),
        ("/srv/**", "/srv/a/b", True),
        ("/srv/**", "/srv", False),
        ("/srv/**/media", "/srv/a/b/media", True),
        ("**", "any/thing\nat all", True),
        ("a.b", "axb", False),
        ("[ab]", "a", False),
        ("a?", "ab", False),
        ("*", "", True),
    ],
)
def test_what_a_pattern_matches(pattern: str, text: str, expected: bool) -> None:
    """`*` does not go beyond a slash, `**` does, and nothing else is special."""
    assert matches(pattern, text) is expected


def plainly_matches(pattern: str, text: str) -> bool:
    """What the wildcards mean, word for word: any number of characters are tried for each."""
    if not pattern.startswith("*"):
        head, text_head = pattern[:1], text[:1]
        return text == pattern == "" or (head == text_head != "" and plainly_matches(pattern[1:], text[1:]))
    stars = 2 if pattern.startswith("**") else 1
    longest = len(text) if stars == 2 or "/" not in text else text.index("/")
    return any(plainly_matches(pattern[stars:], text[taken:]) for taken in range(longest + 1))


@given(st.text(alphabet="ab/*", max_size=8), st.text(alphabet="ab/", max_size=10))
@example("**a*b**b*a", "a/ab/ba")
@example("**a*b", "aa/ab")
@example("**/a*/a", "/a/a/a")
@settings(max_examples=1000)
def test_wildcards_stand_for_what_they_say(pattern: str, text: str) -> None:
    """Whichever of the many ways to match there is, it is found."""
    assert matches(pattern, text) is plainly_matches(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "unit"),
    [
        ("*A*B*C", "AB"),
        ("*A*B*C*B", "AB"),
        ("**A*C**B", "AB"),
        ("*AB*AB*AB*AB*/", "AB"),
        ("**A*B*C", "AB"),
        ("**A*C**D*", "A/"),
        ("**A**B**C", "AB/"),
        ("**A*/*A**/*C", "/A"),
    ],
)
def test_near_misses_of_64_kib_come_to_an_end(pattern: str, unit: str) -> None:
    """Trying every way to share them among three wildcards would take days."""
    assert not matches(pattern, unit * (2**16 // len(unit)))


@pytest.mark.parametrize("pattern", ["shop/live", "*/*", "shop/*", "*-shop/l*e", "a/b"])
def test_patterns_of_targets(pattern: str) -> None:
    """An application and an environment."""
    parsed = TargetPattern.parse(pattern)
    assert str(parsed) == pattern
    assert parsed.matches(Target("a-shop", "lie")) is (pattern in ("*/*", "*-shop/l*e"))
    assert parsed.matches(Target("shop", "live")) is (pattern in ("shop/live", "*/*", "shop/*"))


@pytest.mark.parametrize("pattern", ["", "shop", "shop/", "/live", "a/b/c", "A/b", "a/-b", "a-/b", "**/a b"])
def test_what_is_no_pattern_of_targets(pattern: str) -> None:
    """It would never match; the error has the form that it should have."""
    with pytest.raises(ValueError, match=r"is no deployment target: use application/environment"):
        TargetPattern.parse(pattern)


GLOBS = st.text(alphabet="ab*", min_size=1, max_size=4)
TEXTS = ["".join(letters) for length in range(9) for letters in product("ab", repeat=length)]


@given(GLOBS, GLOBS)
def test_globs_overlap_if_and_only_if_a_text_matches_both(one: str, other: str) -> None:
    """Whatever two globs of four characters can both match, they do so with eight."""
    common = any(matches(one, text) and matches(other, text) for text in TEXTS)
    assert TargetPattern(one, "x").overlaps(TargetPattern(other, "x")) is common
    assert TargetPattern("x", other).overlaps(TargetPattern("x", one)) is common


def test_long_patterns_overlap_as_short_ones_do() -> None:
    """A configuration may have them, by mistake, and is read all the same."""
    long = TargetPattern("a" * 1000, "*b" * 500)
    assert long.overlaps(TargetPattern("*a" * 500, "b*" * 500))
    assert not long.overlaps(TargetPattern("*a" * 500 + "b", "*"))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("shop/*", "*/live", True),
        ("shop/*", "blog/*", False),
        ("shop/live", "shop/test", False),
        ("shop-*/live", "*-eu/live", True),
        ("a*/live", "b*/live", False),
        ("a*/live", "*/test", False),
    ],
)
def test_targets_overlap_if_both_parts_do(one: str, other: str, expected: bool) -> None:
    """One part that can't be the same keeps two patterns apart."""
    assert TargetPattern.parse(one).overlaps(TargetPattern.parse(other)) is expected
