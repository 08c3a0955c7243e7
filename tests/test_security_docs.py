"""Whatever the page on security says is refused, a test tries."""

import re
from pathlib import Path

import pytest

from support.named_tests import malformed, missing, named_in

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS.joinpath("security.md").read_text()
REFUSED = PAGE.partition("## What is refused")[2].partition("\n## ")[0]
ROWS = re.findall(r"^\| (?!what \||-)(.*?) \| (.*) \|$", REFUSED, re.MULTILINE)


@pytest.mark.parametrize(("what", "tests"), ROWS, ids=[what for what, _ in ROWS])
def test_row_names_tests_that_are_there(what: str, tests: str) -> None:
    """A test that is renamed takes its name in the table along; no row is without one."""
    assert named_in(tests), f"nothing tests: {what}"
    assert missing(named_in(tests)) == []


def test_table_is_found_and_nothing_in_it_goes_unchecked() -> None:
    """A name in another form would be taken for prose above."""
    assert len(ROWS) > 20
    assert not malformed(PAGE)


def test_score_is_the_one_that_is_measured() -> None:
    """docs/systemd.md has it, too, and a test compares that with systemd's."""
    score = re.compile(r"\*\*(\d\.\d)\*\*")
    assert score.findall(PAGE) == score.findall(DOCS.joinpath("systemd.md").read_text())
