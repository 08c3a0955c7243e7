"""The table of faults is complete, and every test that it names is there."""

import re
from pathlib import Path

import pytest

from support.named_tests import malformed, missing, named_in

PAGE = Path(__file__).parent.parent.joinpath("docs/reliability.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|(.*)\|$", PAGE, re.MULTILINE)


def test_every_fault_has_one_row() -> None:
    """41 of them, in order."""
    assert [int(number) for number, _ in ROWS] == list(range(1, 42))


@pytest.mark.parametrize(("number", "row"), ROWS, ids=[number for number, _ in ROWS])
def test_row_names_tests_that_are_there(number: str, row: str) -> None:
    """A test that is renamed takes its name in the table along; no row is without one."""
    assert named_in(row), f"row {number} names no test"
    assert missing(named_in(row)) == []


def test_nothing_looks_like_a_test_and_is_not_checked() -> None:
    """A name in another form would be taken for prose above."""
    assert not malformed(PAGE)
