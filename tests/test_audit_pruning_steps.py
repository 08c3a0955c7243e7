"""Retention goes on in small steps: it can be stopped behind each, and gives way to whoever records."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from released.audit import pruning
from released.audit.database import WritingConnection, set_checkpoints
from released.audit.writer import Chore
from released.config import Keep
from released.errors import Unavailable
from released.model.events import EventsPruned, OutputPruned
from support.past import (
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
from support.samples import accepted

MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[Past]:
    async with past(path) as log:
        yield log


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

    async def emptied(pruner: pruning.Pruner, connection: WritingConnection) -> bool:
        with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as file:
            in_file.append(file.execute("SELECT count(*) FROM outputs").fetchall())
        return await empty(pruner, connection)

    monkeypatch.setattr(pruning.Pruner, "_empty", emptied)
    await log.prune()
    assert in_file == [[(4 * 8,)]]


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
        async def stepping(connection: WritingConnection) -> bool:
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

    async def first(_: WritingConnection) -> bool:
        begun.set()
        await gate.wait()
        order.append("first")
        return True

    async def second(_: WritingConnection) -> bool:
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

    async def first(_: WritingConnection) -> bool:
        return await gate.wait()

    async def second(_: WritingConnection) -> bool:
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

    async def failing(connection: WritingConnection) -> bool:
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
