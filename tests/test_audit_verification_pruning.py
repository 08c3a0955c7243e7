"""Verifying a log from which retention has removed what is old: it is sound, and proves the rest."""

from pathlib import Path

import pytest

from released.audit.verification.findings import Problem
from released.audit.verification.log_file import verify_database
from released.config import Keep
from released.model.receipt import Receipt
from support.audit_log import problems_of
from support.past import by_hand, past
from support.tampering import tamper

RELEASE_EVENTS = 6
"""Of which the fourth is output."""

LAST_PRUNED = RELEASE_EVENTS
LAST_WITHOUT_OUTPUT = 2 * RELEASE_EVENTS


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log of four releases, the first of which is gone, and the output of the second."""
    path = tmp_path / "audit.db"
    async with past(path) as log:
        for number, days in enumerate((90, 60, 30, 0), start=1):
            log.days_ago(days)
            await log.run(number, b"x" * 1000)
        await log.prune(output=Keep(days=45), events=Keep(days=75))
    return path


def receipt_of(path: Path, sequence: int) -> Receipt:
    with by_hand(path) as connection:
        sql = "SELECT sequence, digest FROM events WHERE sequence = ?"
        return Receipt(*connection.execute(sql, (sequence,)).fetchone())


def checkpoint_of(path: Path) -> Receipt:
    with by_hand(path) as connection:
        sql = "SELECT through_sequence, digest FROM checkpoints WHERE subject = 'events'"
        return Receipt(*connection.execute(sql).fetchone())


def test_a_pruned_log_is_sound(path: Path) -> None:
    """From the checkpoint on."""
    report = verify_database(path)
    assert (report.problems, report.event_count) == ([], 3 * RELEASE_EVENTS + 2)
    assert checkpoint_of(path).sequence == LAST_PRUNED


@pytest.mark.parametrize(
    ("statement", "sequence"),
    [
        ("UPDATE events SET event_time = 0 WHERE sequence = 7", 7),
        ("DELETE FROM events WHERE sequence = 7", 7),
        ("DELETE FROM outputs WHERE sequence = 16", 16),
        ("UPDATE checkpoints SET digest = zeroblob(32) WHERE subject = 'events'", 7),
        ("UPDATE command_runs SET exit_code = 1 WHERE release_id LIKE '%2'", 7),
    ],
)
def test_tampering_with_what_is_left_is_told(path: Path, statement: str, sequence: int) -> None:
    """Right behind the checkpoint, too."""
    tamper(path, statement)
    assert sequence in {problem.sequence for problem in problems_of(path)}


def test_a_checkpoint_that_was_moved_is_told(path: Path) -> None:
    """An event says where it is, and what is missing behind that was not removed by retention."""
    tamper(path, "UPDATE checkpoints SET through_sequence = 18 WHERE subject = 'output'")
    (problem,) = problems_of(path)
    assert problem.description == "checkpoints: output: through_sequence is 18, by the events 10"
    tamper(path, "DELETE FROM checkpoints")
    descriptions = [problem.description for problem in problems_of(path)]
    assert "checkpoints: events is missing" in descriptions
    assert "checkpoints: output is missing" in descriptions
    assert "events 1 to 6 are missing" in descriptions


async def test_what_retention_has_not_removed_yet_is_no_problem(tmp_path: Path) -> None:
    """The event that announces it comes first; a crash may come in between."""
    path = tmp_path / "audit.db"
    async with past(path) as log:
        for number, days in enumerate((90, 0), start=1):
            log.days_ago(days)
            await log.run(number, b"x" * 1000)
    kept = rows_through(path, LAST_PRUNED)
    async with past(path) as log:
        await log.prune(events=Keep(days=75))
    assert problems_of(path) == []
    with by_hand(path) as connection:
        # As if only some of the rows had been removed.
        connection.execute("DROP TRIGGER events_count_up")
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", kept[3:5])
    assert [problem for problem in problems_of(path) if "schema" not in problem.description] == []


def rows_through(path: Path, sequence: int) -> list[tuple[object, ...]]:
    with by_hand(path) as connection:
        return connection.execute("SELECT * FROM events WHERE sequence <= ?", (sequence,)).fetchall()


async def test_receipts_of_what_was_pruned(path: Path) -> None:
    """The one of the checkpoint itself still proves something; those before it can't be checked."""
    checkpoint = checkpoint_of(path)
    assert verify_database(path, [checkpoint, receipt_of(path, 7)]).problems == []
    before = Receipt(checkpoint.sequence - 1, checkpoint.digest)
    assert verify_database(path, [before]).problems == [
        Problem(
            f"the receipt {before} can't be checked: the events through {checkpoint.sequence} were pruned"
        )
    ]
    false = Receipt(checkpoint.sequence, bytes(32))
    assert len(verify_database(path, [false]).problems) == 1
