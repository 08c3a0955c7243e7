"""The checkpoint of retention: nothing behind it goes, and nobody can move it but by an event."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from released.config import Keep
from support.past import (
    EACH,
    EVENTS_BEFORE,
    Past,
    assert_sound,
    by_hand,
    known,
    past,
    pruning_events,
    sequences,
)
from support.tampering import without_triggers


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[Past]:
    async with past(path) as log:
        yield log


async def test_pruning_again_moves_the_checkpoint_on(log: Past, path: Path) -> None:
    """Also past the events that said so before; output that was pruned before is not counted again."""
    for number, days in ((1, 90), (2, 60), (3, 30)):
        log.days_ago(days)
        await log.run(number, b"x")
    await log.prune(output=Keep(days=50))
    await log.prune(output=Keep(days=50), events=Keep(days=80))
    await log.prune(output=Keep(days=50), events=Keep(days=40))
    kinds = [(type(body).__name__, body.through_sequence) for body in await pruning_events(log)]
    assert kinds == [
        ("OutputPruned", EACH + EVENTS_BEFORE + 1),
        ("EventsPruned", EACH),
        ("EventsPruned", 2 * EACH),
    ]
    with by_hand(path) as connection:
        stored = connection.execute("SELECT subject, through_sequence FROM checkpoints").fetchall()
    assert stored == [("events", 2 * EACH), ("output", EACH + EVENTS_BEFORE + 1)]
    assert_sound(path)


FORBIDDEN = [
    pytest.param("DELETE FROM events WHERE sequence = 8", "events are never deleted", id="an event"),
    pytest.param("DELETE FROM outputs", "output is never deleted", id="output"),
    pytest.param("DELETE FROM command_runs", "commands are never deleted", id="commands"),
    pytest.param("DELETE FROM release_labels", "labels are never deleted", id="labels"),
    pytest.param("DELETE FROM releases", "releases are never deleted", id="releases"),
    pytest.param("UPDATE events SET body = '{}' WHERE sequence = 7", "never changed", id="a changed event"),
    pytest.param("UPDATE checkpoints SET through_sequence = 99", "never changed", id="the checkpoint"),
    pytest.param(
        "INSERT INTO checkpoints VALUES ('events', 99, NULL, 11)", "is where an event says", id="another one"
    ),
    pytest.param(
        "REPLACE INTO checkpoints VALUES ('output', 99, NULL, 8)", "is where an event says", id="of output"
    ),
]


@pytest.mark.parametrize(("statement", "refusal"), FORBIDDEN)
async def test_nothing_is_deleted_behind_the_checkpoint(
    log: Past, path: Path, statement: str, refusal: str
) -> None:
    """Also by hand."""
    log.days_ago(100)
    await log.run(1, b"x")
    log.days_ago(1)
    await log.run(2, b"y")
    await log.prune(events=Keep(days=90))
    with by_hand(path) as connection, pytest.raises(sqlite3.IntegrityError, match=refusal):
        connection.execute(statement)


FORGED = [
    pytest.param("INSERT INTO checkpoints VALUES ('x', 9000000000000, NULL, 1)", id="of something else"),
    pytest.param("REPLACE INTO checkpoints VALUES ('output', 99, NULL, 8)", id="of output"),
    pytest.param("REPLACE INTO checkpoints VALUES ('events', 99, NULL, 8)", id="of events"),
    pytest.param("UPDATE checkpoints SET through_sequence = 99", id="moved"),
]


@pytest.mark.parametrize("statement", FORGED)
async def test_checkpoint_that_no_event_says_lets_nothing_go(log: Past, path: Path, statement: str) -> None:
    """Somebody has written it past triggers and constraints; the log can still be pruned and asked."""
    log.days_ago(100)
    await log.run(1, b"x")
    log.days_ago(1)
    await log.run(2, b"y")
    await log.prune(events=Keep(days=90))
    left = sequences(path), sequences(path, "outputs")
    with without_triggers(path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(statement)
    await log.prune(output=Keep(days=90))
    assert (sequences(path), sequences(path, "outputs")) == left
    assert await known(log, range(1, 3)) == [2]
    await log.audit.query.kept_since()


async def test_checkpoint_of_something_else_is_refused(log: Past, path: Path) -> None:
    """And where it is there all the same, the triggers still keep output."""
    await log.run(1, b"x")
    forged = "INSERT INTO checkpoints VALUES ('x', 9000000000000, NULL, 1)"
    with without_triggers(path) as connection:
        with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
            connection.execute(forged)
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(forged)
    with by_hand(path) as connection, pytest.raises(sqlite3.IntegrityError, match="output is never deleted"):
        connection.execute("DELETE FROM outputs")
