"""Verifying a log from which retention has removed what is old: it is sound, and proves the rest."""

import subprocess
from pathlib import Path

import pytest

from released.audit.times import as_time
from released.audit.verification.findings import Head, Problem, Pruned, Unchecked
from released.audit.verification.log_file import verify_database
from released.config import Keep
from released.model.events import EventsPruned, OutputPruned, encode
from released.model.receipt import Receipt
from support.audit_log import problems_of
from support.daemon import BIN
from support.past import by_hand, past, pruned, release_id
from support.tampering import ALTERED, tamper
from support.two_releases import receipt_of

RELEASE_EVENTS = 6
"""Of which the fourth is output."""

LAST_PRUNED = RELEASE_EVENTS
LAST_WITHOUT_OUTPUT = 2 * RELEASE_EVENTS


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log of four releases, the first of which is gone, and the output of the second."""
    path = tmp_path / "audit.db"
    await pruned(path)
    return path


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


FORGED = """INSERT INTO events SELECT {0}, '', 0, kind, body, NULL, NULL, x'{2}' FROM
    (SELECT '{1}' AS body, '{1}' ->> 'kind' AS kind)"""


def test_a_release_that_is_moved_in_front_of_the_checkpoint_is_told(path: Path) -> None:
    """Without an event there, and with a forged one that gives it other commands."""
    tamper(path, "UPDATE releases SET accept_sequence = 3, state = 'FAILED' WHERE accept_sequence = 19")
    name = release_id(4)
    assert problems_of(path) == [
        Problem(f"releases: {name}: accept_sequence is 3, by the events 19", 3),
        Problem(f"releases: {name}: state is 'FAILED', by the events 'SUCCEEDED'", 3),
    ]
    tamper(
        path,
        "INSERT INTO events SELECT 3, release_id, event_time, kind, replace(body, 'true', 'evil'), NULL, "
        "NULL, digest FROM events WHERE sequence = 19",
    )
    assert problems_of(path) == [Problem("events 4 to 6 are missing", 4)]


async def test_pruning_that_no_event_of_the_chain_says_is_told(tmp_path: Path) -> None:
    """A forged event in front of the checkpoint that it makes: everything is gone that is to be hidden."""
    path = tmp_path / "audit.db"
    async with past(path) as log:
        for number in (1, 2):
            await log.run(number)
    digest = receipt_of(path, 5).digest.hex()
    pruned = EventsPruned(through_sequence=5, digest=digest, event_count=5, release_count=1)
    tamper(
        path,
        "DELETE FROM command_runs WHERE release_id LIKE '%1'",
        "DELETE FROM release_labels WHERE release_id LIKE '%1'",
        "DELETE FROM releases WHERE release_id LIKE '%1'",
        "DELETE FROM events WHERE sequence <= 5",
        FORGED.format(5, encode(pruned), digest),
        f"INSERT INTO checkpoints VALUES ('events', 5, x'{digest}', 5)",  # noqa: S608
    )
    assert problems_of(path) == [Problem("checkpoints: events is there, and no event says so")]


def test_pruning_of_output_that_no_event_of_the_chain_says_is_told(path: Path) -> None:
    """A forged event in front of the checkpoint, and all output is gone."""
    pruned = OutputPruned(through_sequence=1000, output_count=1, output_bytes=1)
    tamper(
        path,
        FORGED.format(2, encode(pruned), "00"),
        "DELETE FROM checkpoints WHERE subject = 'output'",
        "INSERT INTO checkpoints VALUES ('output', 1000, NULL, 2)",
        "DELETE FROM outputs",
    )
    problems = problems_of(path)
    assert Problem("checkpoints: output: through_sequence is 1000, by the events 10", 25) in problems
    assert Problem("the output of the event is missing", 16) in problems


@pytest.mark.parametrize(
    ("statement", "problems"),
    [
        (
            "PRAGMA ignore_check_constraints = ON; "
            "INSERT INTO checkpoints VALUES ('x', 9000000000000, NULL, 1)",
            [Problem("checkpoints: x is there, and no event says so")],
        ),
        (
            "UPDATE checkpoints SET sequence = 7 WHERE subject = 'output'",
            [Problem("checkpoints: output: sequence is 7, by the events 25", 25)],
        ),
        (
            "UPDATE checkpoints SET digest = x'00' WHERE subject = 'output'",
            [Problem("checkpoints: output: digest is 00, by the events None", 25)],
        ),
        (
            "UPDATE checkpoints SET digest = NULL WHERE subject = 'events'",
            [
                Problem("checkpoints: events: digest is None, by the events {digest}", 26),
                Problem(ALTERED, 7),
            ],
        ),
    ],
)
def test_every_column_of_a_checkpoint_is_compared(
    path: Path, statement: str, problems: list[Problem]
) -> None:
    """And no row is taken for granted."""
    digest = checkpoint_of(path).digest.hex()
    tamper(path, statement)
    assert problems_of(path) == [
        Problem(problem.description.format(digest=digest), problem.sequence) for problem in problems
    ]


async def test_an_event_about_pruned_output_may_be_pruned_itself(tmp_path: Path) -> None:
    """Then nothing says any more up to where output was removed, and nothing has to."""
    path = tmp_path / "audit.db"
    async with past(path) as log:
        log.days_ago(90)
        await log.run(1, b"x")
        await log.run(2, b"x")
        await log.prune(output=Keep(days=75))
        log.days_ago(0)
        await log.run(3, b"x")
        await log.prune(events=Keep(bytes=1))
    with by_hand(path) as connection:
        assert connection.execute("SELECT count(*) FROM checkpoints").fetchone() == (2,)
        assert connection.execute("SELECT 1 FROM events WHERE kind = 'output_pruned'").fetchone() is None
    assert problems_of(path) == []
    tamper(path, "UPDATE checkpoints SET through_sequence = 1000 WHERE subject = 'output'")
    assert problems_of(path) == [Problem("checkpoints: output is there, and no event says so")]


def test_the_report_tells_what_was_pruned(path: Path) -> None:
    """Nothing but the configuration can tell whether that was retention: by which events, and when."""
    with by_hand(path) as connection:
        pruned = connection.execute(
            "SELECT sequence, kind, event_time, body ->> 'through_sequence' FROM events "
            "WHERE kind LIKE '%_pruned'"
        ).fetchall()
    assert {(told.kind, told.sequence): told for told in verify_database(path).prunings} == {
        (kind, sequence): Pruned(sequence, kind, as_time(time), through)
        for sequence, kind, time, through in pruned
    }
    assert [through for *_, through in pruned] == [10, LAST_PRUNED]


def test_a_pruning_at_no_time_is_told_without_one(path: Path) -> None:
    """The event was changed, and that is the problem."""
    tamper(path, "UPDATE events SET event_time = 9000000000000000000 WHERE kind = 'events_pruned'")
    report = verify_database(path)
    assert report.problems == [Problem(ALTERED, 26)]
    assert [told.event_time for told in report.prunings if told.kind == "events_pruned"] == [None]


def test_releasectl_tells_what_was_pruned_and_which_receipts_prove_nothing(path: Path) -> None:
    """The exit code is neither the one of a log that proves them nor of one with problems."""
    digest = "0" * 64
    arguments = ("audit", "verify", "--offline", path)
    with by_hand(path) as connection:
        sql = "SELECT kind, strftime('%Y-%m-%dT%H:%M:%SZ', event_time / 1000000, 'unixepoch') FROM events"
        times = dict(connection.execute(sql).fetchall())
    told = [
        f"retention removed the events through 6, says event 26 of {times['events_pruned']}",
        f"retention removed the output of the events through 10, says event 25 of {times['output_pruned']}",
    ]
    for receipts, code, unchecked in (
        ((), 0, []),
        (
            (f"--receipt=3:{digest}",),
            7,
            [f"the receipt 3:{digest} can't be checked: the events through 6 were pruned"],
        ),
    ):
        done = subprocess.run(
            [BIN / "releasectl", *arguments, *receipts], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (code, "")
        assert done.stderr.splitlines()[1:] == [*told, *unchecked]


async def test_receipts_of_what_was_pruned(path: Path) -> None:
    """The one of the checkpoint itself still proves something; those before it can't be checked."""
    checkpoint = checkpoint_of(path)
    assert verify_database(path, [checkpoint, receipt_of(path, 7)]).problems == []
    before = Receipt(checkpoint.sequence - 1, checkpoint.digest)
    description = f"the receipt {before} can't be checked: the events through {LAST_PRUNED} were pruned"
    report = verify_database(path, [before])
    assert (report.problems, report.unchecked_receipts) == (
        [],
        [
            Unchecked(
                Head(before.sequence, before.digest.hex()),
                description,
            )
        ],
    )
    false = Receipt(checkpoint.sequence, bytes(32))
    assert len(verify_database(path, [false]).problems) == 1
