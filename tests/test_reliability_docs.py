"""The table of faults is complete, and every test that it names is there."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAGE = TESTS.parent.joinpath("docs/reliability.md").read_text()
ROWS = re.findall(r"^\| (\d+) \|(.*)\|$", PAGE, re.MULTILINE)
TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def names_in(file: str) -> set[str]:
    """The tests of a module; none if there is no such module."""
    path = TESTS / file
    statements = ast.parse(path.read_text()).body if path.exists() else []
    return {node.name for node in statements if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_fault_has_one_row() -> None:
    """41 of them, in order."""
    assert [int(number) for number, _ in ROWS] == list(range(1, 42))


@pytest.mark.parametrize(("number", "row"), ROWS, ids=[number for number, _ in ROWS])
def test_row_names_tests_that_are_there(number: str, row: str) -> None:
    """A test that is renamed takes its name in the table along; no row is without one."""
    named = TEST.findall(row)
    assert named, f"row {number} names no test"
    assert [f"{file}::{test}" for file, test in named if test not in names_in(file)] == []


def test_nothing_looks_like_a_test_and_is_not_checked() -> None:
    """A name in another form would be taken for prose above."""
    assert len(re.findall(r"test_\w+\.py", PAGE)) == len(TEST.findall(PAGE))
