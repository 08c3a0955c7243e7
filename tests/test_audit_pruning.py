"""Retention: what is not to be kept any more goes, oldest first, and what is left proves itself."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import aiosqlite
import pytest

from released.audit import pruning
from released.audit.database import set_checkpoints
from released.audit.filter.condition import EVERYTHING
from released.audit.listings import NEWEST_FIRST
from released.audit.writer import Chore
from released.config import Keep
from released.errors import Unavailable
from released.model.caller import Caller
from released.model.events import OWN, AccessDenied, EventsPruned, OutputPruned
from support import audit_log
from support.past import EVENTS_AFTER, EVENTS_BEFORE, OUTPUT, Past, assert_sound, by_hand, past, release_id
from support.samples import accepted
from support.tampering import without_triggers

EACH = EVENTS_BEFORE + 1 + EVENTS_AFTER
"""Events of a release that writes once."""

MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[Past]:
    async with past(path) as log:
        yield log


def sequences(path: Path, table: str = "events") -> list[int]:
    with by_hand(path) as connection:
        return [number for (number,) in connection.execute(f"SELECT sequence FROM {table} ORDER BY 1")]  # noqa: S608


def count(path: Path, table: str) -> int:
    with by_hand(path) as connection:
        (number,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(number)


def used_bytes(path: Path) -> int:
    with by_hand(path) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


async def known(log: Past, numbers: range) -> list[int]:
    """The releases that are still known."""
    return [number for number in numbers if await log.audit.query.release(release_id(number))]


async def pruning_events(log: Past) -> list[OutputPruned | EventsPruned]:
    own = [event.body for event in await audit_log.events_of(log.audit, OWN)]
    return [body for body in own if isinstance(body, OutputPruned | EventsPruned)]


async def test_nothing_is_pruned_unless_it_is_said(log: Past, path: Path) -> None:
    """Not even an event of it is there."""
    log.days_ago(10_000)
    await log.run(1, b"ancient")
    await log.prune()
    assert sequences(path) == list(range(1, EACH + 1))
    assert sequences(path, "outputs") == [EVENTS_BEFORE + 1]


async def test_output_goes_by_age(log: Past, path: Path) -> None:
    """That of releases which ended longer ago; the events stay, and say how much there was."""
    for number, days in ((1, 91), (2, 91), (3, 89)):
        log.days_ago(days)
        await log.run(number, b"x" * 1000, b"y")
    await log.prune(output=Keep(days=90))
    outputs = [
        [(event.output, event.pruned_bytes) for event in events if event.body == OUTPUT]
        for events in [await audit_log.events_of(log.audit, release_id(number)) for number in (1, 2, 3)]
    ]
    gone = [(None, 1000), (None, 1)]
    assert outputs == [gone, gone, [(b"x" * 1000, 0), (b"y", 0)]]
    assert await known(log, range(1, 4)) == [1, 2, 3]
    (pruned,) = await pruning_events(log)
    last = EACH + 1 + EVENTS_BEFORE + 2
    assert pruned == OutputPruned(through_sequence=last, output_count=4, output_bytes=2002)
    assert_sound(path)


async def test_output_goes_by_size_as_it_is_stored(log: Past, path: Path) -> None:
    """Oldest first, until what is left takes no more than that."""
    for number in range(10):
        await log.run(number, os.urandom(10_000))
    assert used_bytes(path) > 35_000
    await log.prune(output=Keep(bytes=35_000))
    assert sequences(path, "outputs") == [number * EACH + EVENTS_BEFORE + 1 for number in (7, 8, 9)]
    await log.run(10, b"zero" * 5000)  # it is stored in a few bytes
    await log.prune(output=Keep(bytes=35_000))
    assert count(path, "outputs") == 4
    assert len(await pruning_events(log)) == 1


async def test_whichever_limit_is_reached_first_counts(log: Past, path: Path) -> None:
    """A young release goes by size, an old one by age."""
    log.days_ago(100)
    await log.run(1, os.urandom(1000))
    log.days_ago(1)
    for number in (2, 3):
        await log.run(number, os.urandom(100_000))
    await log.prune(output=Keep(days=90, bytes=MIB))
    assert count(path, "outputs") == 2
    await log.prune(output=Keep(days=90, bytes=150_000))
    assert count(path, "outputs") == 1


async def test_events_go_by_age(log: Past, path: Path) -> None:
    """With the releases, and all that queries read of them; the first one that is left is chained."""
    for number, days in ((1, 900), (2, 800), (3, 700)):
        log.days_ago(days)
        await log.run(number, b"x")
    digests = [event.digest for event in await audit_log.events_of(log.audit, release_id(2))]
    await log.prune(events=Keep(days=730))
    assert await known(log, range(1, 4)) == [3]
    assert sequences(path) == list(range(2 * EACH + 1, 3 * EACH + 2))
    assert [count(path, table) for table in ("releases", "release_labels", "command_runs", "outputs")] == [
        1
    ] * 4
    (pruned,) = await pruning_events(log)
    assert pruned == EventsPruned(
        through_sequence=2 * EACH,
        digest=digests[-1].hex(),
        event_count=2 * EACH,
        release_count=2,
    )
    assert_sound(path)


async def test_events_go_by_the_room_that_the_database_takes(log: Past, path: Path) -> None:
    """No more of them than it takes, a few apart."""
    for number in range(100):
        await log.run(number, os.urandom(20_000))
    before = used_bytes(path)
    assert before > 2 * MIB
    await log.prune(events=Keep(bytes=MIB))
    assert MIB * 0.85 < used_bytes(path) <= MIB
    left = await known(log, range(100))
    assert 0 < len(left) < 60
    assert left == list(range(100 - len(left), 100))
    assert_sound(path)


async def test_room_is_given_back_to_the_disk(log: Past, path: Path) -> None:
    """The file gets shorter, and nothing waits in the write-ahead log."""
    log.days_ago(100)
    for number in range(20):
        await log.run(number, *[os.urandom(65536)] * 8)
    log.days_ago(10)
    await log.run(20, b"kept")
    pages = path.stat().st_size // 4096
    left = []

    async def vacuum(connection: aiosqlite.Connection) -> bool:
        left.append(await pruning._free_pages(connection))
        return await give_back(connection)

    give_back = pruning._vacuum
    with patch.object(pruning, "_vacuum", vacuum):
        await log.prune(output=Keep(days=90))
    assert left.pop(0) == 0  # what an earlier pruning left
    given = [before - after for before, after in pairwise(left)]
    # Each step gives all that it may, the last one what is left; then there is nothing to do.
    assert set(given[:-1]) == {pruning.PAGES_AT_ONCE}
    assert left[-1] == 0
    assert sum(given) > pages * 0.9
    assert path.stat().st_size < MIB / 4
    assert path.with_name("audit.db-wal").stat().st_size == 0
    assert log.audit.usage().size_bytes == path.stat().st_size


async def test_pruning_waits_while_a_reader_keeps_the_write_ahead_log_long(
    log: Past, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would make it longer and longer; it goes on when the reader has gone."""
    monkeypatch.setattr(pruning, "LARGEST_WAL_BYTES", MIB)
    monkeypatch.setattr(pruning, "WAIT", timedelta())
    wal = path.with_name("audit.db-wal")
    log.days_ago(100)
    await log.run(1, b"x")
    with by_hand(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM events").fetchall()
        for number in range(2, 6):
            await log.run(number, *[os.urandom(65536)] * 8)
        before = wal.stat().st_size
        assert before > 2 * MIB
        task = asyncio.create_task(log.prune(output=Keep(days=90)))
        while "waits for somebody who has been reading it" not in caplog.text:
            assert not task.done()
            await asyncio.sleep(0)
        assert count(path, "outputs") == 1 + 4 * 8
        assert wal.stat().st_size == before
    await task
    assert caplog.text.count("waits for somebody") == 1
    assert count(path, "outputs") == 0
    assert wal.stat().st_size == 0
    assert_sound(path)


async def test_no_append_waits_while_a_long_write_ahead_log_is_moved(
    log: Past, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is the writer's turn, everything is in the file already."""
    await set_checkpoints(log.audit._writer._connection, enabled=False)
    for number in range(4):
        await log.run(number, *[os.urandom(65536)] * 8)
    in_file = []
    empty = pruning.Pruner._empty

    async def emptied(pruner: pruning.Pruner, connection: aiosqlite.Connection) -> bool:
        with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as file:
            in_file.append(file.execute("SELECT count(*) FROM outputs").fetchall())
        return await empty(pruner, connection)

    monkeypatch.setattr(pruning.Pruner, "_empty", emptied)
    await log.prune()
    assert in_file == [[(4 * 8,)]]


async def test_nothing_behind_a_release_that_has_not_ended_is_touched(log: Past, path: Path) -> None:
    """However old it is, and however little is to be kept."""
    log.days_ago(1000)
    await log.run(1, b"gone")
    await log.begin(2, b"stays")
    await log.run(3, b"stays")
    await log.prune(output=Keep(days=1, bytes=1), events=Keep(days=1, bytes=1))
    assert await known(log, range(1, 4)) == [2, 3]
    assert count(path, "outputs") == 2
    assert await log.audit.query.stored_bytes(release_id(2)) == {0: 5}
    log.days_ago(0)
    await log.end(2)
    await log.prune(output=Keep(days=1), events=Keep(days=1))
    assert await known(log, range(1, 4)) == [2, 3]  # it ended today


async def test_age_counts_from_the_end(log: Past) -> None:
    """A release that waited for long is not old."""
    log.days_ago(100)
    await log.begin(1, b"x")
    log.days_ago(80)
    await log.end(1)
    await log.prune(output=Keep(days=90), events=Keep(days=90))
    assert await pruning_events(log) == []


async def test_events_of_the_daemon_itself_are_kept_as_long(log: Past, path: Path) -> None:
    """An event of its own that is not old holds up what comes behind it."""
    denied = AccessDenied(caller=Caller(uid=1, gid=1, pid=1, user="eve"), method="Drain", reason="no")
    log.days_ago(100)
    await log.append_own(denied)
    await log.run(1)
    log.days_ago(10)
    await log.append_own(denied)
    await log.prune(events=Keep(days=90))
    assert sequences(path)[0] == EVENTS_BEFORE + EVENTS_AFTER + 2
    assert denied in [event.body for event in await audit_log.events_of(log.audit, OWN)]


async def test_limit_that_nothing_fits_into_ends_all_the_same(log: Past, path: Path) -> None:
    """One event is left that says so; the next time there is nothing to do."""
    for number in range(3):
        await log.run(number, b"x")
    await log.prune(events=Keep(bytes=1))
    assert await known(log, range(3)) == []
    left = sequences(path)
    assert len(left) == 1
    await log.prune(events=Keep(bytes=1))
    assert sequences(path) == left
    assert_sound(path)


async def test_log_goes_on_after_it_was_pruned(log: Past, path: Path) -> None:
    """Sequences and digests go on; a request_id that went with its release starts a new one."""
    log.days_ago(100)
    await log.run(1, b"x")
    await log.prune(events=Keep(days=90))
    await log.run(1, b"again")
    await log.audit.close()
    async with past(path) as again:
        await again.run(2)
        assert await known(again, range(1, 3)) == [1, 2]
    assert_sound(path)


async def test_log_says_since_when_it_is_complete(log: Past) -> None:
    """Of what was never pruned, it says nothing."""
    log.days_ago(100)
    await log.run(1, b"x")
    assert await log.audit.query.kept_since() == (None, None)
    log.days_ago(60)
    await log.run(2, b"y")
    (second, *_) = await audit_log.events_of(log.audit, release_id(2))
    await log.prune(output=Keep(days=90))
    _, after_output = await log.audit.query.kept_since()
    assert after_output is not None
    assert after_output < second.time
    await log.prune(events=Keep(days=90))
    assert await log.audit.query.kept_since() == (second.time, second.time)


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


async def test_pruning_that_is_stopped_anywhere_is_finished_later(path: Path) -> None:
    """After each single step of it the log is sound; nothing is lost, nothing is done or told twice."""
    results = []
    for steps in range(1, 1000):
        folder = path.parent / str(steps)
        folder.mkdir()
        async with past(folder / "audit.db") as log:
            for number, days in ((1, 100), (2, 60), (3, 10)):
                log.days_ago(days)
                await log.run(number, os.urandom(5000), b"x")
            ended = await stop_after(log, steps)
            assert_sound(log.audit.path)
            await log.prune(output=Keep(days=50), events=Keep(days=90))
            assert await known(log, range(1, 4)) == [2, 3]
            assert [type(body) for body in await pruning_events(log)] == [OutputPruned, EventsPruned]
            results.append((sequences(log.audit.path), sequences(log.audit.path, "outputs")))
        if ended:
            break
    assert len(results) > 10
    assert results.count(results[0]) == len(results)


async def stop_after(log: Past, steps: int) -> bool:
    """Cancel pruning as soon as so many of its steps are done; say whether it had ended by itself."""
    left = steps
    request = log.audit._writer.request

    def counted(chore: Chore) -> asyncio.Future[bool]:
        async def stepping(connection: aiosqlite.Connection) -> bool:
            nonlocal left
            result = await chore(connection)
            left -= 1
            if left == 0:
                task.cancel()
            return result

        return request(stepping)

    log.audit._writer.request = counted  # type: ignore[method-assign]
    task = asyncio.create_task(log.prune(output=Keep(days=50), events=Keep(days=90)))
    await asyncio.wait({task})
    log.audit._writer.request = request  # type: ignore[method-assign]
    return not task.cancelled()


async def test_append_waits_for_one_step_at_most(log: Past) -> None:
    """Whatever steps have been asked for before it."""
    order: list[str] = []
    begun, gate = asyncio.Event(), asyncio.Event()

    async def first(_: aiosqlite.Connection) -> bool:
        begun.set()
        await gate.wait()
        order.append("first")
        return True

    async def second(_: aiosqlite.Connection) -> bool:
        order.append("second")
        return True

    steps = [log.audit._writer.request(chore) for chore in (first, second)]
    await begun.wait()
    log.audit.listen(lambda commit: order.append("append"))
    appended = log.audit.append(release_id(1), accepted("true"))
    gate.set()
    await asyncio.gather(*steps, appended)
    assert order == ["first", "append", "second"]


async def test_step_that_nobody_waits_for_any_more_is_not_done(log: Past) -> None:
    """Whoever gives way does so at once."""
    done: list[str] = []
    gate = asyncio.Event()

    async def first(_: aiosqlite.Connection) -> bool:
        return await gate.wait()

    async def second(_: aiosqlite.Connection) -> bool:
        done.append("second")
        return True

    step, given_up = log.audit._writer.request(first), log.audit._writer.request(second)
    given_up.cancel()
    gate.set()
    assert await step
    await log.audit.append(release_id(1), accepted("true"))
    assert done == []


async def test_step_that_fails_is_told_and_the_log_goes_on(log: Past) -> None:
    """It is tried again at another time."""

    async def failing(connection: aiosqlite.Connection) -> bool:
        await connection.execute("DELETE FROM nowhere")
        return True

    with pytest.raises(Unavailable, match="can't be written: no such table: nowhere"):
        await log.audit._writer.request(failing)
    await log.run(1)
    assert log.audit.health.writable


async def test_pruning_of_a_log_that_is_locked_fails_without_harm(log: Past, path: Path) -> None:
    """By somebody with SQLite's own tools, say."""
    log.days_ago(100)
    await log.run(1, b"x")
    with by_hand(path) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await log.prune(output=Keep(days=50))
    await log.prune(output=Keep(days=50))
    assert count(path, "outputs") == 0


async def test_pruning_of_a_log_that_is_closed(log: Past) -> None:
    """The daemon ends."""
    await log.audit.close()
    with pytest.raises(Unavailable, match="shutting down"):
        await log.prune()


async def test_what_was_pruned_is_not_told_as_damage(log: Past, path: Path) -> None:
    """Also while its rows are still being removed: it is gone, and no list lacks it."""
    log.days_ago(100)
    await log.run(1)
    places = await log.audit.query.find_releases(EVERYTHING, NEWEST_FIRST, None, 1)
    with by_hand(path) as connection:
        columns = [column for _, column, *_ in connection.execute("PRAGMA table_info(releases)")]
        row = connection.execute(f"SELECT {', '.join(columns)} FROM releases").fetchone()  # noqa: S608
    log.days_ago(1)
    await log.prune(events=Keep(days=90))
    with by_hand(path) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        sql = f"INSERT INTO releases ({', '.join(columns)}) VALUES ({', '.join('?' * len(row))})"  # noqa: S608
        connection.execute(sql, row)
    assert await log.audit.query.releases_at(places) == {}
    assert await log.audit.query.unreachable(places) == []
    assert await log.audit.query.release(release_id(1)) is None
