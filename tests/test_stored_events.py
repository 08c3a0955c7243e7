"""Events as they are stored: with all that their digests cover, also where the log was pruned."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from released.audit.chain import GENESIS, link, output_digest_of
from released.audit.stored import StoredEvent
from released.config import Keep
from support.past import Past, past


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[Past]:
    async with past(path) as log:
        yield log


async def stored(log: Past, after: int = 0, **options: bool) -> list[StoredEvent]:
    return await log.audit.query.all_events_after(after, log.audit.head.sequence, **options)


def assert_chained(events: list[StoredEvent]) -> None:
    """Each by what it says of itself, and to the one before."""
    for event in events:
        (sequence, release_id, time, kind, body, size, output_digest, _, previous, digest) = event
        content = (sequence, release_id, time, kind, body, size, output_digest or None)
        assert digest == link(previous, *content)
    assert [event.previous_digest for event in events[1:]] == [event.digest for event in events[:-1]]


async def test_whole_log(log: Past) -> None:
    """From the first event on; output is as it came, also where it is stored compressed."""
    await log.run(1, b"x", b"y" * 100_000)
    events = await stored(log)
    assert_chained(events)
    assert events[0].previous_digest == GENESIS
    outputs = [event.output for event in events if event.output is not None]
    assert outputs == [b"x", b"y" * 100_000]
    assert [event.output_bytes for event in events if event.output_digest] == [1, 100_000]
    assert events[4].output_digest == output_digest_of(b"y" * 100_000)


async def test_part_of_the_log(log: Past) -> None:
    """The event before it is not among them, its digest is."""
    await log.run(1)
    whole = await stored(log)
    assert await stored(log, after=2) == whole[2:]
    assert await log.audit.query.all_events_after(1, 3) == whole[1:3]


async def test_without_output(log: Past) -> None:
    """Its digest stays."""
    await log.run(1, b"x")
    events = await stored(log, with_output=False)
    assert_chained(events)
    assert [event.output for event in events if event.output_digest] == [None]


async def test_pruned_output(log: Past) -> None:
    """The chain does not need it."""
    log.days_ago(100)
    await log.run(1, b"x")
    await log.prune(output=Keep(days=10))
    events = await stored(log)
    assert_chained(events)
    assert [(event.output_bytes, event.output) for event in events if event.output_digest] == [(1, None)]


async def test_first_event_behind_a_checkpoint(log: Past, path: Path) -> None:
    """What comes before it is gone, and known by the checkpoint."""
    log.days_ago(100)
    await log.run(1, b"x")
    last = (await stored(log))[-1]
    log.days_ago(1)
    await log.run(2, b"x")
    await log.prune(events=Keep(days=10))
    events = await stored(log)
    assert_chained(events)
    assert (events[0].sequence, events[0].previous_digest) == (last.sequence + 1, last.digest)


async def test_event_whose_predecessor_is_missing(log: Past, path: Path) -> None:
    """Damage is no reason to tell nothing of what is there."""
    await log.run(1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DROP TRIGGER events_are_kept")
        connection.execute("DELETE FROM events WHERE sequence = 2")
    assert [event.previous_digest for event in await stored(log)][:2] == [GENESIS, b""]
