"""An audit log of releases that ran long ago, written by the real writer while the clock is set back."""

import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch
from uuid import UUID

from released.audit.chain import GENESIS, link
from released.audit.log import AuditLog
from released.config import RESERVE_BYTES, AuditConfig, Keep
from released.model.events import (
    OWN,
    Body,
    CommandFinished,
    CommandOutput,
    CommandStarted,
    EventsPruned,
    OutputPruned,
    OwnBody,
    StateChanged,
)
from released.model.states import CommandState, ReleaseState, Stream
from support import audit_log
from support.samples import accepted

OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)
EVENTS_BEFORE, EVENTS_AFTER = 3, 2
"""How many events a release has before its output and after it."""
EACH = EVENTS_BEFORE + 1 + EVENTS_AFTER
"""Events of a release that writes once."""


def release_id(number: int) -> str:
    return str(UUID(int=number))


class Past:
    """An audit log whose events happen when it is said that they do, at first now."""

    def __init__(self, audit: AuditLog) -> None:
        self.audit = audit
        self.days_ago(0)

    def days_ago(self, days: float) -> None:
        """Let it be so many days ago from now on."""
        self._now_ns = time.time_ns() - round(days * 86400e9)

    async def append(self, number: int, *bodies: Body) -> None:
        with patch("time.time_ns", return_value=self._now_ns):
            await self.audit.append(release_id(number), *bodies)

    async def append_own(self, body: OwnBody) -> None:
        with patch("time.time_ns", return_value=self._now_ns):
            await self.audit.append_own(body)

    async def begin(self, number: int, *output: bytes) -> None:
        """Let a release begin, and write this."""
        name = release_id(number)
        request = accepted("true", labels={"number": str(number)}, request_id=name)
        preparing = StateChanged(state=ReleaseState.PREPARING)
        await self.append(number, request, preparing, CommandStarted(command_index=0))
        if output:
            with patch("time.time_ns", return_value=self._now_ns):
                await self.audit.append_output(name, [(OUTPUT, data) for data in output])

    async def end(self, number: int) -> None:
        finished = CommandFinished(command_index=0, state=CommandState.SUCCEEDED, exit_code=0)
        succeeded = StateChanged(state=ReleaseState.SUCCEEDED)
        await self.append(number, finished, succeeded)

    async def run(self, number: int, *output: bytes) -> None:
        """Let a release begin, write this, and end."""
        await self.begin(number, *output)
        await self.end(number)

    async def prune(self, *, output: Keep = Keep(), events: Keep = Keep()) -> None:  # noqa: B008 - frozen
        """Prune as of now."""
        audit = AuditConfig(keep_output=output, keep_events=events)
        await self.audit.prune(audit, datetime.now(UTC))


@asynccontextmanager
async def past(path: Path, reserve_bytes: int = RESERVE_BYTES) -> AsyncIterator[Past]:
    """The log at `path`, for the block."""
    async with audit_log.opened(path, reserve_bytes) as audit:
        yield Past(audit)


@contextmanager
def by_hand(path: Path) -> Iterator[sqlite3.Connection]:
    """What somebody with SQLite's own tools sees and does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        yield connection


def assert_sound(path: Path) -> None:
    """Verifying finds nothing, and every event that is left is chained, the first one to the checkpoint."""
    assert audit_log.problems_of(path) == []
    with by_hand(path) as connection:
        checkpoint = connection.execute(
            "SELECT through_sequence, digest FROM checkpoints WHERE subject = 'events'"
        ).fetchone()
        through, digest = checkpoint or (0, GENESIS)
        rows = connection.execute(
            "SELECT sequence, release_id, event_time, kind, body, output_bytes, output_digest, digest "
            "FROM events WHERE sequence > ? ORDER BY sequence",
            (through,),
        ).fetchall()
    for expected, (*content, chained) in enumerate(rows, through + 1):
        assert (content[0], link(digest, *content)) == (expected, chained)
        digest = chained


async def pruned(path: Path) -> None:
    """Make a log of four releases at `path`; the first one is gone, and the output of the second."""
    async with past(path) as log:
        for number, days in enumerate((90, 60, 30, 0), start=1):
            log.days_ago(days)
            await log.run(number, b"x" * 1000)
        await log.prune(output=Keep(days=45), events=Keep(days=75))


def sequences(path: Path, table: str = "events") -> list[int]:
    with by_hand(path) as connection:
        return [number for (number,) in connection.execute(f"SELECT sequence FROM {table} ORDER BY 1")]  # noqa: S608


def count(path: Path, table: str) -> int:
    with by_hand(path) as connection:
        (number,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608
    return int(number)


async def known(log: Past, numbers: range) -> list[int]:
    """The releases that are still known."""
    return [number for number in numbers if await log.audit.query.release(release_id(number))]


async def pruning_events(log: Past) -> list[OutputPruned | EventsPruned]:
    own = [event.body for event in await audit_log.events_of(log.audit, OWN)]
    return [body for body in own if isinstance(body, OutputPruned | EventsPruned)]
