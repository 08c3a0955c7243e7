"""Verifying a log that is being pruned: what an event says will go may be there, in part or not at all."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from released.audit.verification import log_file, parts
from released.audit.verification.log_file import verify_database
from released.audit.verification.workers import Workers, workers
from released.config import Keep
from released.model.events import EventsPruned
from support.audit_log import problems_of
from support.past import by_hand, past
from support.tampering import ALTERED, tamper
from support.two_releases import receipt_of

RELEASE_EVENTS = 6
"""Of which the fourth is output."""

LAST_PRUNED = RELEASE_EVENTS


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
        connection.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", kept[3:])
    assert [problem for problem in problems_of(path) if "schema" not in problem.description] == []


def rows_through(path: Path, sequence: int) -> list[tuple[object, ...]]:
    with by_hand(path) as connection:
        return connection.execute("SELECT * FROM events WHERE sequence <= ?", (sequence,)).fetchall()


LAST_ANNOUNCED = 2 * RELEASE_EVENTS


@pytest.fixture
async def announced(tmp_path: Path) -> Path:
    """A log of three releases: the first is gone, and of the second an event says that it will be."""
    path = tmp_path / "audit.db"
    async with past(path) as log:
        for number, days in enumerate((90, 60, 0), start=1):
            log.days_ago(days)
            await log.run(number, b"x" * 1000)
        await log.prune(events=Keep(days=75))
        digest = receipt_of(path, LAST_ANNOUNCED).digest.hex()
        await log.append_own(
            EventsPruned(
                through_sequence=LAST_ANNOUNCED, digest=digest, event_count=RELEASE_EVENTS, release_count=1
            )
        )
    return path


REMOVING = (
    "DELETE FROM command_runs WHERE release_id LIKE '%2'; "
    "DELETE FROM release_labels WHERE release_id LIKE '%2'; "
    "DELETE FROM releases WHERE release_id LIKE '%2'",
    "DELETE FROM outputs WHERE sequence <= 12",
    "DELETE FROM events WHERE sequence <= 9",
    "DELETE FROM events WHERE sequence <= 11",
    "DELETE FROM events WHERE sequence <= 12",
)
"""The steps in which retention removes rows."""


@pytest.mark.parametrize("size", [parts.SIZE, 4, 1])
def test_a_log_is_sound_at_each_step_of_its_pruning(
    announced: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """A daemon may be killed at any moment."""
    monkeypatch.setattr(log_file, "SIZE", size)
    assert problems_of(announced) == []
    for statements in REMOVING:
        with by_hand(announced) as connection:
            connection.executescript(statements)
        assert problems_of(announced) == []


@pytest.mark.parametrize(
    ("removed", "statements", "told"),
    [
        (0, "UPDATE events SET event_time = 0 WHERE sequence = 8", 8),
        (0, "UPDATE events SET event_time = 0 WHERE sequence = 7", 7),
        (0, "DELETE FROM events WHERE sequence = 9", 9),
        (0, "UPDATE outputs SET data = x'00' WHERE sequence = 10", 10),
        (0, "UPDATE releases SET state = 'FAILED' WHERE release_id LIKE '%2'", 7),
        (0, "UPDATE command_runs SET exit_code = 1 WHERE release_id LIKE '%2'", 7),
        (2, "UPDATE events SET event_time = 0 WHERE sequence = 8", 8),
        (2, "INSERT INTO outputs VALUES (8, '', x'00')", 8),
        (3, "UPDATE events SET event_time = 0 WHERE sequence = 12", 12),
        (3, "UPDATE events SET digest = zeroblob(32) WHERE sequence = 12", 12),
        (3, "DELETE FROM events WHERE sequence = 12", 12),
        (5, "INSERT INTO outputs VALUES (8, '', x'00')", 8),
    ],
)
def test_tampering_in_front_of_a_checkpoint_is_told(
    announced: Path, removed: int, statements: str, told: int
) -> None:
    """What retention has not removed yet is as sound as everything else."""
    with by_hand(announced) as connection:
        for step in REMOVING[:removed]:
            connection.executescript(step)
    assert problems_of(announced) == []
    tamper(announced, statements)
    assert told in {problem.sequence for problem in problems_of(announced)}


ACCEPTED = (
    "INSERT INTO events SELECT {}, 'invented', event_time, kind, body, NULL, NULL, digest FROM events "
    "WHERE sequence = 13"
)


INVENTED = (
    "INSERT INTO releases (release_id, accept_sequence, application, environment, image, requested_by, "
    "caller_uid, caller_user, state, create_time, start_time, end_time, end_sequence) "
    "SELECT 'invented', {}, application, environment, image, requested_by, caller_uid, caller_user, state, "
    "create_time, start_time, end_time, end_sequence FROM releases WHERE accept_sequence = 13"
)


@pytest.mark.parametrize(
    ("statements", "description"),
    [
        pytest.param([ACCEPTED.format(4), INVENTED.format(4)], "events 5 to 12 are missing", id="apart"),
        pytest.param(
            [ACCEPTED.format(12), INVENTED.format(12)],
            ALTERED,
            id="the last",
        ),
        pytest.param(
            [INVENTED.format(4)], "releases: invented is there, and no event says so", id="without its event"
        ),
    ],
)
def test_a_release_that_was_invented_is_told(
    announced: Path, statements: list[str], description: str
) -> None:
    """In front of the checkpoint, where no event of its would be missed."""
    with by_hand(announced) as connection:
        for step in REMOVING:
            connection.executescript(step)
    tamper(announced, *statements)
    assert description in [problem.description for problem in problems_of(announced)]


def test_a_release_that_is_made_of_one_forged_event_is_told(announced: Path) -> None:
    """The first event that is left follows one that is gone: nothing vouches for it."""
    with by_hand(announced) as connection:
        for step in REMOVING[:4]:
            connection.executescript(step)
    tamper(
        announced,
        "UPDATE events SET release_id = 'forged', kind = 'release_accepted', event_time = 1, "
        "body = (SELECT body FROM events WHERE sequence = 13) WHERE sequence = 12",
        "INSERT INTO releases (release_id, accept_sequence, application, environment, image, request_id, "
        "requested_by, caller_uid, caller_user, state, create_time) SELECT 'forged', 12, application, "
        "environment, image, NULL, requested_by, caller_uid, caller_user, 'QUEUED', 1 FROM releases",
    )
    assert "releases: forged is there, and no event says so" in {
        problem.description for problem in problems_of(announced)
    }


@pytest.mark.parametrize("processes", [1, 2])
async def test_a_log_that_is_pruned_while_it_is_verified_is_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    """Between the look at the checkpoints and the one at what should be behind them."""
    path = tmp_path / "audit.db"
    loop = asyncio.get_running_loop()
    times: list[Keep] = []
    async with past(path) as log:
        for number, days in enumerate((90, 60, 0), start=1):
            log.days_ago(days)
            await log.run(number, b"x" * 1000)

        @contextmanager
        def pruning_meanwhile(*arguments: Any) -> Iterator[Workers]:
            keep = (Keep(days=75), Keep(days=30), Keep(days=30))[len(times)]
            times.append(keep)
            pruned = asyncio.run_coroutine_threadsafe(log.prune(events=keep), loop)
            pruned.result(timeout=60)
            with workers(*arguments) as working:
                yield working

        monkeypatch.setattr(log_file, "workers", pruning_meanwhile)
        report = await asyncio.to_thread(verify_database, path, (), processes)
    assert report.problems == []
    assert (len(times), report.event_count) == (3, RELEASE_EVENTS + 2)
