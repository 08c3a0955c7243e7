"""Tests that a page of the documentation names, as `test_file.py::test_name`."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
_TEST = re.compile(r"`(test_\w+\.py)::(test_\w+)`")


def named_in(text: str) -> list[str]:
    """The tests that a text names."""
    return [f"{file}::{test}" for file, test in _TEST.findall(text)]


def missing(names: list[str]) -> list[str]:
    """Those of them that there are not."""
    return [name for name in names if name.partition("::")[2] not in _tests_of(name.partition("::")[0])]


def malformed(text: str) -> bool:
    """Whether something looks like a test and is in another form, which nobody would check."""
    return len(re.findall(r"test_\w+\.py", text)) != len(named_in(text))


def _tests_of(file: str) -> set[str]:
    """The tests of a module; none if there is no such module."""
    path = TESTS / file
    statements = ast.parse(path.read_text()).body if path.exists() else []
    return {node.name for node in statements if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
