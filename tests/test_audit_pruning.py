"""Retention: what is not to be kept any more goes, oldest first, and what is left proves itself."""

import os
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

import aiosqlite
import pytest

from released.audit import pruning
from released.audit.filter.condition import EVERYTHING
from released.audit.listings import NEWEST_FIRST
from released.config import Keep
from released.model.caller import Caller
from released.model.events import OWN, AccessDenied, EventsPruned, OutputPruned
from support import audit_log
from support.past import (
    EACH,
    EVENTS_AFTER,
    EVENTS_BEFORE,
    OUTPUT,
    Past,
    assert_sound,
    by_hand,
    count,
    known,
    past,
    pruning_events,
    release_id,
    sequences,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[Past]:
    async with past(path) as log:
        yield log


MIB = 1024 * 1024


def used_bytes(path: Path) -> int:
    with by_hand(path) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


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
