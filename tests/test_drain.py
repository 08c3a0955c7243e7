"""The drain against what comes at the same time: a request that is being accepted, a repeated one."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest

from released.audit.log import AuditLog
from released.config import Config, Configuration
from released.drain import Drain
from released.errors import Unavailable
from released.model.events import Body
from released.model.release import Secrets
from released.monitor import EngineMonitor
from released.release.runs import Runs
from released.releases import Counts, Releases
from released.troubles import Troubles
from released.vault import Vault
from support import audit_log
from support.samples import CALLER, a_spec

DIGEST = "d"
REQUEST = "0190163d-8694-739b-aea5-966c26f8ad91"
NO_SECRETS = Secrets()


class GatedLog:
    """An audit log whose appends wait for a gate."""

    def __init__(self, audit: AuditLog) -> None:
        self.query = audit.query
        self.check_room = audit.check_room
        self.append_own = audit.append_own
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()
        self._audit = audit

    async def append(self, release_id: str, *bodies: Body) -> None:
        self.reached.set()
        await self.gate.wait()
        await self._audit.append(release_id, *bodies)


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[GatedLog]:
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        yield GatedLog(audit)


@pytest.fixture
async def releases(log: GatedLog, tmp_path: Path) -> AsyncIterator[Releases]:
    """Without an engine: releases that run nothing need none."""
    monitor = cast(EngineMonitor, None)
    vault = Vault.open(tmp_path / "secrets")
    releases = Releases(
        cast(Runs, None), monitor, cast(AuditLog, log), vault, Configuration(Config()), Troubles()
    )
    yield releases
    await releases.close()


async def test_drain_waits_for_what_is_being_accepted(log: GatedLog, releases: Releases) -> None:
    """Whoever gets an answer can rely on it: it is recorded before the daemon ends."""
    drain = Drain(releases, cast(AuditLog, log))
    request = asyncio.create_task(releases.start(a_spec(), NO_SECRETS, DIGEST, CALLER))
    await log.reached.wait()
    await drain.begin(CALLER)
    assert not drain.finished.is_set()
    log.gate.set()
    release_id = await request
    await drain.finished.wait()
    assert await log.query.release(release_id) is not None


async def test_request_that_comes_later_is_refused_but_a_repeated_one_is_answered(
    log: GatedLog, releases: Releases
) -> None:
    """Its release has been accepted before; whoever repeats it has to know which that was."""
    log.gate.set()
    drain = Drain(releases, cast(AuditLog, log))
    accepted = await releases.start(a_spec(request_id=REQUEST), NO_SECRETS, DIGEST, CALLER)
    await drain.begin(CALLER)
    with pytest.raises(Unavailable) as refused:
        await releases.start(a_spec(), NO_SECRETS, DIGEST, CALLER)
    assert refused.value.reason == "DRAINING"
    assert await releases.start(a_spec(request_id=REQUEST), NO_SECRETS, DIGEST, CALLER) == accepted


async def test_drain_is_not_begun_before_it_is_asked_for(log: GatedLog, releases: Releases) -> None:
    """A daemon that has nothing to do does not end."""
    log.gate.set()
    drain = Drain(releases, cast(AuditLog, log))
    await releases.start(a_spec(), NO_SECRETS, DIGEST, CALLER)
    assert (drain.begun, drain.finished.is_set()) == (False, False)


async def test_drain_goes_on_when_its_caller_is_gone(log: GatedLog, releases: Releases) -> None:
    """Everybody who has to know of it is told, once, whoever asked and however often."""
    drain = Drain(releases, cast(AuditLog, log))
    told: list[str] = []
    gate = asyncio.Event()

    async def listener() -> None:
        await gate.wait()
        told.append("draining")

    drain.listen(listener)
    caller = asyncio.create_task(drain.begin(CALLER))
    await asyncio.sleep(0)
    caller.cancel()
    await asyncio.wait({caller})
    assert drain.begun
    gate.set()
    await drain.begin(CALLER)
    assert told == ["draining"]


async def test_drain_with_nothing_under_way_is_finished_at_once(log: GatedLog, releases: Releases) -> None:
    """It says so, to everybody who follows."""
    drain = Drain(releases, cast(AuditLog, log))
    await drain.begin(CALLER)
    for _ in range(2):
        assert [counts async for counts in drain.follow()] == [Counts(running=0, queued=0)]
