"""The audit log, real, in a temporary folder."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from released.audit.filter.condition import EVERYTHING, Condition
from released.audit.listings import NEWEST_FIRST
from released.audit.log import AuditLog
from released.audit.records import ReleaseRecord
from released.audit.search import Order, Place
from released.audit.verification.findings import Problem
from released.audit.verification.log_file import verify_database
from released.config import RESERVE_BYTES
from released.errors import StartupError
from released.model.events import AnyBody, Event

NEVER = timedelta(hours=1)


@asynccontextmanager
async def opened(path: Path, reserve_bytes: int = RESERVE_BYTES) -> AsyncIterator[AuditLog]:
    """Open the log at `path` for the block."""
    audit = await AuditLog.open(path, reserve_bytes)
    try:
        yield audit
    finally:
        await audit.close()


async def check_refused(path: Path, message: str) -> None:
    """Check that the log at `path` can't be opened, and that the message matches a regular expression.

    A log that is opened all the same is closed: with connections that are left open, pytest would not end.
    """
    with pytest.raises(StartupError, match=message):
        async with opened(path):
            pass


async def events_of(audit: AuditLog, release_id: str) -> list[Event]:
    """All events of a release, however many."""
    events: list[Event] = []
    while more := await audit.query.events_after(release_id, events[-1].sequence if events else 0):
        events += more
    return events


async def bodies_of(audit: AuditLog, release_id: str) -> list[AnyBody]:
    """What happened to a release."""
    return [event.body for event in await events_of(audit, release_id)]


async def listed(
    audit: AuditLog,
    condition: Condition = EVERYTHING,
    order: Order = NEWEST_FIRST,
    after: Place | None = None,
    limit: int = 100,
) -> list[tuple[Place, ReleaseRecord]]:
    """Releases that meet a condition, with their places, in an order."""
    places = await audit.query.find_releases(condition, order, after, limit)
    records = await audit.query.releases_at(places)
    return [(place, records[place.sequence]) for place in places]


def problems_of(path: Path) -> list[Problem]:
    """What is wrong with the log at `path`, whether a daemon has it open or not."""
    return verify_database(path).problems
