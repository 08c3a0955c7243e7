"""Verifying the audit log: a sound one has no problems; of another, each is told, and where it is."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from released.audit import verification
from released.audit.log import AuditLog
from released.audit.verification import MOST_PROBLEMS, Problem, Verification
from released.errors import Unavailable
from released.model.events import (
    Body,
    CommandFinished,
    CommandOutput,
    CommandStarted,
    ContainerCreated,
    Failure,
    ImageResolved,
    StateChanged,
)
from released.model.states import Cause, CommandState, ReleaseState, Stream
from support import audit_log
from support.audit_log import problems_of
from support.damage import destroy_page, page_of
from support.samples import OTHER_RELEASE, RELEASE, accepted

OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)
STORY: tuple[Body, ...] = (
    accepted("a", "b", labels={"team": "ä", "a": "1"}),
    StateChanged(state=ReleaseState.PREPARING),
    ImageResolved(image_id="i"),
    ContainerCreated(container_id="c", container_name="n"),
    StateChanged(state=ReleaseState.RUNNING),
    CommandStarted(command_index=0),
    CommandFinished(command_index=0, state=CommandState.FAILED, exit_code=1),
    CommandFinished(command_index=1, state=CommandState.SKIPPED),
    StateChanged(
        state=ReleaseState.FAILED,
        failure=Failure(cause=Cause.COMMAND_FAILED, message="it failed", command_index=0),
    ),
)


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A log with two releases, and output of the first: event 19."""
    path = tmp_path / "audit.db"
    async with audit_log.opened(path) as audit:
        for release_id in (RELEASE, OTHER_RELEASE):
            await audit.append(release_id, *STORY)
        await audit.append_output(RELEASE, [(OUTPUT, b"x" * 50_000)])
    return path


def change(path: Path, *statements: str) -> None:
    """Do what the triggers forbid, as somebody with the file in his hands would."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for (name,) in names:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)


def test_a_sound_log_has_no_problems(path: Path) -> None:
    """Whatever has happened in it."""
    report = Verification(path).run()
    assert (report.problems, report.event_count, report.damage) == ([], 2 * len(STORY) + 1, "")


async def test_an_empty_log_has_no_problems(tmp_path: Path) -> None:
    """A daemon that was started for the first time."""
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        assert await audit.verify() == ([], 0, "")


PROBLEMS = [
    pytest.param("DELETE FROM events WHERE sequence IN (3, 4)", "events 3 to 4 are missing", 3, id="a gap"),
    pytest.param("DELETE FROM events WHERE sequence = 1", "events 1 to 1 are missing", 1, id="the beginning"),
    pytest.param(
        "UPDATE events SET body = '{' WHERE sequence = 5", "the event can't be understood", 5, id="no JSON"
    ),
    pytest.param(
        """UPDATE events SET body = '{"kind":"dance"}' WHERE sequence = 5""",
        "the event can't be understood",
        5,
        id="an unknown event",
    ),
    pytest.param(
        "UPDATE events SET kind = 'container_started' WHERE sequence = 6",
        "the event is stored as container_started and says command_started",
        6,
        id="another kind",
    ),
    pytest.param(
        "DELETE FROM outputs", "the event is command_output and has None bytes of output", 19, id="no output"
    ),
    pytest.param(
        "INSERT INTO outputs VALUES (2, '', x'00')",
        "the event is state_changed and has 1 bytes of output",
        2,
        id="output of nothing",
    ),
    pytest.param(
        "INSERT INTO outputs VALUES (99, '', x'00')",
        "row 99 of outputs refers to a row of events that is not there",
        None,
        id="output of no event",
    ),
    pytest.param(
        "UPDATE events SET body = (SELECT body FROM events WHERE sequence = 1), kind = 'release_accepted' "
        "WHERE sequence = 2",
        "the event contradicts an earlier one: UNIQUE constraint failed",
        2,
        id="accepted twice",
    ),
    pytest.param(
        "UPDATE releases SET state = 'SUCCEEDED', cause = NULL WHERE accept_sequence = 1",
        f"releases: {RELEASE}: state is 'SUCCEEDED', by the events 'FAILED'",
        None,
        id="a better state",
    ),
    pytest.param(
        "UPDATE command_runs SET exit_code = 0 WHERE release_id LIKE '%a1' AND command_index = 0",
        f"command_runs: {RELEASE} 0: exit_code is 0, by the events 1",
        None,
        id="a better exit code",
    ),
    pytest.param(
        "DELETE FROM command_runs WHERE release_id LIKE '%a1' AND command_index = 1",
        f"command_runs: {RELEASE} 1 is missing",
        None,
        id="a command less",
    ),
    pytest.param(
        "INSERT INTO release_labels SELECT release_id, 'b', '2' FROM releases WHERE accept_sequence = 1",
        f"release_labels: {RELEASE} b is there, and no event says so",
        None,
        id="a label more",
    ),
    pytest.param(
        "DROP INDEX releases_by_state; DROP TABLE command_runs", "no such table", None, id="a table less"
    ),
]


@pytest.mark.parametrize(("statements", "description", "sequence"), PROBLEMS)
def test_what_was_changed_is_a_problem(
    path: Path, statements: str, description: str, sequence: int | None
) -> None:
    """With what it should be, and the event that shows it."""
    change(path, *statements.split("; "))
    found = [problem for problem in problems_of(path) if description in problem.description]
    assert [problem.sequence for problem in found] == [sequence]


def test_row_18_a_corrupted_page_is_reported(path: Path) -> None:
    """By SQLite's own check, and by the events that can't be read."""
    destroy_page(path, page_of(path, "events"))
    malformed = "database disk image is malformed"
    report = Verification(path).run()
    assert report.damage == malformed
    assert report.problems == [
        Problem(f"the database can't be read: {malformed}"),
        Problem(f"references can't be read: {malformed}"),
        Problem(f"the events can't be read: {malformed}", 1),
    ]


def test_a_file_that_is_no_database_is_reported(path: Path) -> None:
    """Also when not even its first page is left."""
    path.write_bytes(b"precious " * 1000)
    report = Verification(path).run()
    assert Problem("the database can't be read: file is not a database") in report.problems
    assert report.damage == "file is not a database"


def test_a_hundred_problems_are_enough(path: Path) -> None:
    """The answer has to fit into a message."""
    change(
        path,
        "WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number LIMIT 200) "
        "INSERT INTO release_labels SELECT release_id, i, '' FROM number, releases",
    )
    assert len(problems_of(path)) == MOST_PROBLEMS


async def test_appending_goes_on_while_the_log_is_verified(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is appended meanwhile is not looked at, and no problem."""
    loop = asyncio.get_running_loop()
    async with audit_log.opened(path) as audit:
        in_database = Verification._in_database

        def appending_meanwhile(self: Verification) -> Iterator[Problem]:
            yield from in_database(self)
            appended = asyncio.run_coroutine_threadsafe(
                _append(audit, StateChanged(state=ReleaseState.RUNNING)), loop
            )
            assert appended.result(timeout=60) == 2 * len(STORY) + 2

        monkeypatch.setattr(Verification, "_in_database", appending_meanwhile)
        assert await audit.verify() == ([], 2 * len(STORY) + 1, "")


async def _append(audit: AuditLog, body: Body) -> int:
    return (await audit.append(RELEASE, body)).sequence


async def test_verifying_ends_with_who_asked_for_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No thread reads on for nobody."""
    loop, begun = asyncio.get_running_loop(), asyncio.Event()
    ended = asyncio.Event()
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n"

    def in_database(self: Verification) -> Iterator[Problem]:
        loop.call_soon_threadsafe(begun.set)
        try:
            self._connection.execute(endless).fetchall()
        finally:
            loop.call_soon_threadsafe(ended.set)
        yield Problem("it has an end")

    monkeypatch.setattr(Verification, "_in_database", in_database)
    verifying = asyncio.create_task(verification.verify(path))
    await begun.wait()
    verifying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await verifying
    await ended.wait()


async def test_a_log_that_is_gone_can_t_be_verified(path: Path) -> None:
    """That is an error and no finding."""
    async with audit_log.opened(path) as audit:
        path.rename(path.with_name("elsewhere.db"))
        with pytest.raises(Unavailable, match=f"the audit log {path} can't be read: unable to open"):
            await audit.verify()


async def test_row_18_damage_that_writing_meets_ends_all_writing(path: Path) -> None:
    """Also what could be written still: the files stay as they are, and the message says what to do."""
    destroy_page(path, page_of(path, "releases_by_state"))
    wal = path.with_name("audit.db-wal")
    async with audit_log.opened(path) as audit:
        await audit.append(RELEASE, CommandStarted(command_index=1))
        before = path.read_bytes(), wal.read_bytes()
        advice = rf"{path} is damaged, .* `releasectl audit verify`, stop released and restore a backup"
        with pytest.raises(Unavailable, match=advice) as damaged:
            await audit.append("third", accepted("true"))
        assert damaged.value.reason == "AUDIT_DAMAGED"
        for refused in (audit.append(RELEASE, STORY[-1]), audit.check_room(), audit.probe()):
            with pytest.raises(Unavailable, match="is damaged"):
                await refused
        assert not audit.health.writable
        assert (await audit_log.bodies_of(audit, OTHER_RELEASE)) == list(STORY)
    assert (path.read_bytes(), wal.read_bytes()) == before


async def test_row_18_damage_that_reading_meets_ends_all_writing(path: Path) -> None:
    """Nothing is added to a file of which it is known that it is damaged."""
    destroy_page(path, page_of(path, "command_runs"))
    async with audit_log.opened(path) as audit:
        await audit.append(RELEASE, StateChanged(state=ReleaseState.RUNNING))
        with pytest.raises(Unavailable, match=f"{path} is damaged"):
            await audit.query.release(RELEASE)
        with pytest.raises(Unavailable, match=f"{path} is damaged"):
            await audit.append(RELEASE, StateChanged(state=ReleaseState.RUNNING))
