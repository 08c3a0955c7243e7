"""The audit log, real, on a real disk: what is appended is there, once, in order, for good."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from released.audit.log import AuditLog
from released.errors import Unavailable
from released.model.caller import Caller
from released.model.events import (
    OWN,
    AccessDenied,
    CancelRequested,
    CommandOutput,
    CommandStarted,
    ConfigurationRefused,
    ConfigurationReloaded,
    ContainerStarted,
    NewEvent,
    SignalSent,
    StateChanged,
)
from released.model.receipt import Receipt
from released.model.states import ReleaseState, Stream
from support import audit_log
from support.samples import OTHER_RELEASE, RELEASE, accepted

REQUEST = "0190163d-8694-739b-aea5-966c26f8ad91"
OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)
UNENCODABLE = CancelRequested(reason="\ud800")
"""What SQLite and JSON can't hold; it stands for any entry that fails by itself."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
async def audit(path: Path) -> AsyncIterator[AuditLog]:
    async with audit_log.opened(path) as audit:
        yield audit


def stored(path: Path) -> list[tuple[int, str]]:
    """What another process reads: sequences and kinds."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT sequence, kind FROM events ORDER BY sequence").fetchall()
    connection.close()
    return rows


async def test_events_come_back_as_they_were_appended(audit: AuditLog) -> None:
    """Also the bytes beside them, whatever they are."""
    binary = bytes(range(256)) * 300
    await audit.append(RELEASE, accepted("true", labels={"team": "ä"}), CommandStarted(command_index=0))
    await audit.append_output(RELEASE, [(OUTPUT, binary), (OUTPUT, b"")])
    events = await audit_log.events_of(audit, RELEASE)
    assert [(event.sequence, event.body, event.output) for event in events] == [
        (1, accepted("true", labels={"team": "ä"}), None),
        (2, CommandStarted(command_index=0), None),
        (3, OUTPUT, binary),
        (4, OUTPUT, b""),
    ]
    assert {event.release_id for event in events} == {RELEASE}


async def test_daemon_has_events_of_its_own(audit: AuditLog, path: Path) -> None:
    """They count like all others and belong to no release; the log with them is sound."""
    denied = AccessDenied(
        caller=Caller(uid=1000, gid=100, pid=7, groups=(4, 24), user="eve"), method="Drain", reason="no"
    )
    await audit.append(RELEASE, accepted("true"))
    await audit.append_own(
        denied, ConfigurationReloaded(changed=("access",)), ConfigurationRefused(message="no")
    )
    await audit.append(RELEASE, CommandStarted(command_index=0))
    assert [event.sequence for event in await audit_log.events_of(audit, RELEASE)] == [1, 5]
    own = await audit_log.events_of(audit, OWN)
    assert [(event.sequence, event.body) for event in own] == [
        (2, denied),
        (3, ConfigurationReloaded(changed=("access",))),
        (4, ConfigurationRefused(message="no")),
    ]
    assert (await audit.verify()).problems == []


async def test_log_goes_on_where_it_ended(path: Path) -> None:
    """The daemon that is started next counts on."""
    async with audit_log.opened(path) as audit:
        assert audit.head.sequence == 0
        await audit.append(RELEASE, accepted("true"))
        await audit.append(RELEASE, StateChanged(state=ReleaseState.PREPARING))
    async with audit_log.opened(path) as audit:
        assert audit.head.sequence == 2
        assert (await audit.append(RELEASE, CommandStarted(command_index=0))).sequence == 3


async def test_sequences_have_no_gaps_and_each_caller_gets_its_own(audit: AuditLog, path: Path) -> None:
    """However many append at once, each its own number of events."""
    appends = [
        audit.append(f"r{number}", accepted("true"), *[CancelRequested()] * (number % 3))
        for number in range(50)
    ]
    last = await asyncio.gather(*appends)
    expected, sequence = [], 0
    for number in range(50):
        sequence += 1 + number % 3
        expected.append(sequence)
    assert [receipt.sequence for receipt in last] == expected
    assert [sequence for sequence, _ in stored(path)] == list(range(1, sequence + 1))
    assert audit.head.sequence == sequence


async def test_group_is_one_transaction(audit: AuditLog) -> None:
    """What was appended while nothing was written is written together."""
    statements: list[str] = []
    connection = audit._writer._connection
    await connection.do(lambda thread: thread.set_trace_callback(statements.append))
    await asyncio.gather(*(audit.append(f"r{number}", accepted()) for number in range(100)))
    bounds = ["BEGIN IMMEDIATE", "COMMIT"]
    assert [sql for sql in statements if sql in bounds] == bounds
    assert audit.head.sequence == 100


async def test_events_of_one_append_are_stored_together_or_not_at_all(audit: AuditLog, path: Path) -> None:
    """The second one can't be stored, so the first is not either."""
    with pytest.raises(Unavailable, match=r"the audit log .* can't be written"):
        await audit.append(RELEASE, accepted("true"), UNENCODABLE)
    assert stored(path) == []
    assert await audit.query.release(RELEASE) is None


@pytest.mark.parametrize(
    "failing", ["unencodable", "duplicate release", "request_id in use", "output that is no bytes"]
)
async def test_failing_entry_does_not_spoil_the_others_of_its_group(
    audit: AuditLog, path: Path, failing: str
) -> None:
    """They are stored, without a gap, and only its own caller is told."""
    await audit.append("first", accepted(request_id=REQUEST))
    bad: dict[str, NewEvent] = {
        "unencodable": NewEvent("first", UNENCODABLE),
        "duplicate release": NewEvent("first", accepted()),
        "request_id in use": NewEvent("other", accepted(request_id=REQUEST)),
        "output that is no bytes": NewEvent("first", OUTPUT, output="text"),  # type: ignore[arg-type]
    }
    group = [
        audit.append("a", accepted()),
        audit._writer.append(bad[failing]),
        audit.append("b", accepted()),
    ]
    results = await asyncio.gather(*group, return_exceptions=True)
    receipts = [result for result in results if isinstance(result, Receipt)]
    assert [receipt.sequence for receipt in receipts] == [2, 3]
    assert isinstance(results[1], Unavailable)
    assert results[1].reason == "AUDIT_UNWRITABLE"
    assert [sequence for sequence, _ in stored(path)] == [1, 2, 3]
    assert (await audit.append("c", accepted())).sequence == 4


async def test_cancelled_appender_does_not_take_its_events_back(audit: AuditLog, path: Path) -> None:
    """What was appended is written, whoever stops waiting for it."""
    future = audit.append(RELEASE, accepted("true"))
    future.cancel()
    other = audit.append(RELEASE, StateChanged(state=ReleaseState.PREPARING))
    assert (await other).sequence == 2
    assert stored(path) == [(1, "release_accepted"), (2, "state_changed")]


async def test_appender_that_does_not_wait_is_served_all_the_same(path: Path) -> None:
    """Closing the log writes what has been appended."""
    async with audit_log.opened(path) as audit:
        audit.append(RELEASE, accepted("true"))
    assert stored(path) == [(1, "release_accepted")]


async def test_closed_log_takes_nothing_more(path: Path) -> None:
    """Closing twice is the same as once."""
    async with audit_log.opened(path) as audit:
        await audit.close()
        with pytest.raises(Unavailable, match="shutting down"):
            await audit.append(RELEASE, accepted("true"))
    assert stored(path) == []


async def test_entries_that_come_while_the_log_closes_are_refused(path: Path) -> None:
    """And those that came before are written."""
    async with audit_log.opened(path) as audit:
        before = audit.append(RELEASE, accepted("true"))
        closing = asyncio.create_task(audit.close())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await audit.append(OTHER_RELEASE, accepted("true"))
        await closing
        assert before.result().sequence == 1


CHANGES = [
    pytest.param("UPDATE events SET body = '{}'", "events are never changed", id="update"),
    pytest.param(
        "UPDATE events SET sequence = 9 WHERE sequence = 2", "events are never changed", id="renumber"
    ),
    pytest.param("DELETE FROM events", "events are never deleted", id="delete"),
    pytest.param("DELETE FROM events WHERE sequence = 2", "events are never deleted", id="delete the last"),
    pytest.param(
        "REPLACE INTO events SELECT sequence, release_id, 0, kind, '{}', NULL, NULL, x'' FROM events",
        "count up by one",
        id="replace",
    ),
    pytest.param(
        "INSERT INTO events SELECT 9, release_id, 0, kind, '{}', NULL, NULL, x'' FROM events "
        "WHERE sequence = 1",
        "count up by one",
        id="a gap",
    ),
    pytest.param(
        "INSERT INTO events SELECT 1, release_id, 0, kind, '{}', NULL, NULL, x'' FROM events "
        "WHERE true LIMIT 1 ON CONFLICT DO UPDATE SET body = '{}'",
        "count up by one",
        id="upsert",
    ),
    pytest.param("UPDATE outputs SET data = x'00'", "output is never changed", id="update output"),
    pytest.param("DELETE FROM outputs", "output is never deleted", id="delete output"),
    pytest.param(
        "REPLACE INTO outputs VALUES (2, '', x'00')", "output is never replaced", id="replace output"
    ),
]


@pytest.mark.parametrize(("statement", "refusal"), CHANGES)
async def test_what_is_in_the_log_cannot_be_changed(path: Path, statement: str, refusal: str) -> None:
    """Not even by who opens the file with SQLite's own tools."""
    async with audit_log.opened(path) as audit:
        await audit.append(RELEASE, accepted("true"))
        await audit.append_output(RELEASE, [(OUTPUT, b"stays")])
    connection = sqlite3.connect(path)
    before = list(connection.iterdump())
    with pytest.raises(sqlite3.IntegrityError, match=refusal):
        connection.execute(statement)
    connection.rollback()
    assert list(connection.iterdump()) == before
    connection.close()


async def test_queries_cannot_write(audit: AuditLog) -> None:
    """Whatever a query should turn out to be."""
    await audit.append(RELEASE, accepted("true"))
    with pytest.raises(Unavailable, match=r"the audit log .* can't be read: .*readonly"):
        await audit.query._reading.fetch("UPDATE releases SET state = 'SUCCEEDED'", ())


async def test_events_are_read_a_few_at_a_time(audit: AuditLog) -> None:
    """A watcher holds no more than 64 of them in memory, from wherever it goes on."""
    await audit.append(RELEASE, accepted("true"), *[CancelRequested()] * 99)
    first = await audit.query.events_after(RELEASE, 0)
    second = await audit.query.events_after(RELEASE, 64)
    assert [event.sequence for event in (*first, *second)] == list(range(1, 101))
    assert (len(first), len(second)) == (64, 36)
    assert await audit.query.events_after(RELEASE, 100) == []


async def test_releases_do_not_see_each_others_events(audit: AuditLog) -> None:
    """Their sequences rise, but need not follow each other."""
    for release_id in (RELEASE, OTHER_RELEASE):
        await audit.append(release_id, accepted("true"))
    await audit.append(RELEASE, SignalSent(command_index=0, signal=15, reason="late"))
    await audit.append(OTHER_RELEASE, ContainerStarted(container_id="c"))
    events = await audit_log.events_of(audit, RELEASE)
    assert [event.sequence for event in events] == [1, 3]


async def test_usage_tells_what_the_log_takes_and_what_is_free(audit: AuditLog) -> None:
    """The write-ahead log included: that is where output goes first."""
    before = audit.usage()
    await audit.append_output(RELEASE, [(OUTPUT, os.urandom(500_000))])
    after = audit.usage()
    assert after.size_bytes - before.size_bytes > 500_000
    assert after.free_bytes > 0


async def test_log_is_alive_until_it_is_closed(path: Path) -> None:
    """Whatever it had to refuse: the watchdog is fed as long as it is."""
    async with audit_log.opened(path) as audit:
        assert audit.alive
        with pytest.raises(Unavailable):
            await audit.append(RELEASE, UNENCODABLE)
        assert audit.alive
    assert not audit.alive
