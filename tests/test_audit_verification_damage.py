"""Verifying a damaged audit log: what SQLite finds wrong with the file, in words, one by one."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from released.audit.verification.checks import MOST_OF_A_KIND
from released.audit.verification.findings import Problem
from released.audit.verification.log_file import verify_database
from support.damage import destroy_page, page_of
from support.two_releases import two_releases

POINTERS = 2
"""The page of a database that gives pages back with which SQLite finds the parent of each other page."""


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with two releases, and an event of the daemon itself."""
    return await two_releases(tmp_path / "audit.db")


def of_damage(problems: Iterable[Problem]) -> list[str]:
    head = "the database is damaged: "
    return [text.removeprefix(head) for problem in problems if (text := problem.description).startswith(head)]


def test_each_finding_of_sqlite_is_a_problem_of_its_own(path: Path) -> None:
    """It tells all that is wrong with pages in one text, of many lines, and may break off behind it."""
    pages = [page_of(path, name) for name in ("releases_by_digest", "releases_by_cause")]
    for page in pages:
        destroy_page(path, page)
    report = verify_database(path)
    found = of_damage(report.problems)
    assert {text.split(":")[0] for text in found} == {f"Page {page}" for page in pages}
    assert len(found) == len(pages)
    assert report.damage == "database disk image is malformed"
    assert Problem(f"the database can't be read: {report.damage}") in report.problems


def test_findings_of_many_pages_leave_room_for_what_they_mean(path: Path) -> None:
    """The first ones are told, that there are more, and then which events can't be read."""
    destroy_page(path, POINTERS)
    destroy_page(path, page_of(path, "events"))
    report = verify_database(path)
    problems = report.problems
    assert len(of_damage(problems)) == MOST_OF_A_KIND
    more = Problem("SQLite finds more of that kind: `PRAGMA integrity_check` in the sqlite3 shell tells what")
    assert problems[MOST_OF_A_KIND] == more
    assert Problem("events 1 to 21 can't be read", 1) in problems


def test_row_18_a_corrupted_page_is_reported(path: Path) -> None:
    """Then no event can be read."""
    destroy_page(path, page_of(path, "events"))
    report = verify_database(path)
    assert report.damage == "database disk image is malformed"
    assert Problem("events 1 to 21 can't be read", 1) in report.problems


def test_a_file_that_is_no_database_is_told(path: Path) -> None:
    """Also when not even its first page is left."""
    path.write_bytes(b"precious " * 1000)
    report = verify_database(path)
    assert report.problems == [Problem("the database can't be read: file is not a database")]
    assert report.damage == "file is not a database"
