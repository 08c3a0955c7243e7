"""When the audit log is pruned: from time to time, and only while nobody waits for a release."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from released import retention
from released.audit.log import AuditLog
from released.clock_doubt import ClockDoubt
from released.config import AuditConfig, Config, Configuration, Keep
from released.errors import Unavailable
from released.model.events import Body
from released.model.release import Secrets
from released.monitor import EngineMonitor
from released.release.runs import Runs
from released.releases import Releases
from released.retention import Retention
from released.troubles import Troubles
from released.vault import Vault
from support import audit_log
from support.clock import Clock
from support.samples import CALLER, a_spec

KEEP = AuditConfig(keep_output=Keep(days=1, bytes=10**9), keep_events=Keep(days=2))


class SlowLog:
    """An audit log of which a pruning ends when it is let, and that takes an event when it is let."""

    def __init__(self, audit: AuditLog) -> None:
        self.query = audit.query
        self.check_room = audit.check_room
        self.accepting = asyncio.Event()
        self.accepting.set()
        self.steps: asyncio.Queue[str] = asyncio.Queue()
        """What becomes of each pruning, and of each release."""
        self.kept: list[AuditConfig] = []
        self.ending = asyncio.Event()
        self.tidied = asyncio.Event()
        self.tidied.set()
        self.error: Exception | None = None
        self._audit = audit

    async def append(self, release_id: str, *bodies: Body) -> None:
        self.steps.put_nowait("accepting")
        await self.accepting.wait()
        await self._audit.append(release_id, *bodies)
        self.steps.put_nowait("accepted")

    async def prune(self, keep: AuditConfig, now: datetime) -> None:
        assert abs(datetime.now(UTC) - now) < timedelta(hours=1)
        self.kept.append(keep)
        self.steps.put_nowait("pruning")
        try:
            await self.ending.wait()
            if self.error:
                raise self.error
        except asyncio.CancelledError:
            await self.tidied.wait()
            self.steps.put_nowait("gave way")
            raise
        self.steps.put_nowait("pruned")


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SlowLog]:
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        yield SlowLog(audit)


@pytest.fixture
def configuration() -> Configuration:
    return Configuration(Config(audit=KEEP))


@pytest.fixture
async def releases(log: SlowLog, configuration: Configuration, tmp_path: Path) -> AsyncIterator[Releases]:
    """Without an engine: releases that run nothing need none."""
    releases = Releases(
        cast(Runs, None),
        cast(EngineMonitor, None),
        cast(AuditLog, log),
        Vault.open(tmp_path / "secrets"),
        configuration,
        Troubles(),
    )
    yield releases
    await releases.close()


@pytest.fixture
async def pruner(
    log: SlowLog, releases: Releases, configuration: Configuration, clock: Clock
) -> AsyncIterator[Retention]:
    doubt = ClockDoubt(None, clock.now, clock.uptime)
    pruner = Retention(releases, cast(AuditLog, log), configuration, doubt)
    yield pruner
    await pruner.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def a_release(releases: Releases) -> asyncio.Task[str]:
    return asyncio.create_task(releases.start(a_spec(), Secrets(), "digest", CALLER))


async def test_pruning_comes_some_time_after_the_start_and_again(
    log: SlowLog, pruner: Retention, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what the configuration says then."""
    for name in ("FIRST", "INTERVAL"):
        monkeypatch.setattr(retention, name, timedelta(milliseconds=1))
    log.ending.set()
    pruner.start()
    assert [await log.steps.get() for _ in range(4)] == ["pruning", "pruned"] * 2
    assert log.kept[0] == KEEP


async def test_configuration_that_was_read_again_counts_at_once(
    log: SlowLog, pruner: Retention, configuration: Configuration
) -> None:
    """Whoever lowers a limit, since the disk gets full, does not wait for an hour."""
    pruner.start()
    lower = AuditConfig(keep_output=Keep(days=0.5))
    configuration.replace(Config(audit=lower))
    assert await log.steps.get() == "pruning"
    assert log.kept == [lower]


async def test_pruning_gives_way_to_a_release_before_it_is_recorded(
    log: SlowLog, pruner: Retention, configuration: Configuration, releases: Releases
) -> None:
    """As soon as it is asked for; and goes on when there is none any more."""
    pruner.start()
    configuration.replace(configuration.current)
    assert await log.steps.get() == "pruning"
    log.accepting.clear()
    release = a_release(releases)
    assert {await log.steps.get(), await log.steps.get()} == {"gave way", "accepting"}
    log.ending.set()
    log.accepting.set()
    assert [await log.steps.get() for _ in range(3)] == ["accepted", "pruning", "pruned"]
    await release


async def test_pruning_that_gives_way_is_not_disturbed_in_it(
    log: SlowLog, pruner: Retention, configuration: Configuration, releases: Releases
) -> None:
    """However much is asked for meanwhile, and when the daemon ends."""
    pruner.start()
    configuration.replace(configuration.current)
    assert await log.steps.get() == "pruning"
    log.tidied.clear()
    for _ in range(3):
        await a_release(releases)
        assert [await log.steps.get(), await log.steps.get()] == ["accepting", "accepted"]
    closing = asyncio.create_task(pruner.close())
    await asyncio.sleep(0)
    log.tidied.set()
    await closing
    assert await log.steps.get() == "gave way"
    assert log.steps.empty()


async def test_pruning_that_is_due_waits_for_what_is_under_way(
    log: SlowLog, pruner: Retention, configuration: Configuration, releases: Releases
) -> None:
    """Nothing of it is begun before."""
    log.accepting.clear()
    log.ending.set()
    release = a_release(releases)
    assert await log.steps.get() == "accepting"
    pruner.start()
    configuration.replace(configuration.current)
    for _ in range(10):
        await asyncio.sleep(0)  # it could begin, if it did not wait
    log.accepting.set()
    assert [await log.steps.get() for _ in range(3)] == ["accepted", "pruning", "pruned"]
    await release


@pytest.mark.parametrize(
    ("error", "level", "message"),
    [
        (Unavailable("AUDIT_UNWRITABLE", "no disk"), logging.WARNING, "tried again later: no disk"),
        (ZeroDivisionError(), logging.ERROR, "unexpected error"),
    ],
)
async def test_pruning_that_fails_is_told_and_tried_again(
    log: SlowLog,
    pruner: Retention,
    configuration: Configuration,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    level: int,
    message: str,
) -> None:
    """The next time, whatever it was."""
    log.error = error
    log.ending.set()
    pruner.start()
    for _ in range(2):
        configuration.replace(configuration.current)
        assert await log.steps.get() == "pruning"
    log.error = None
    configuration.replace(configuration.current)
    assert [await log.steps.get() for _ in range(2)] == ["pruning", "pruned"]
    assert {record.levelno for record in caplog.records} == {level}
    assert message in caplog.text


async def test_pruning_ends_with_the_daemon(
    log: SlowLog, pruner: Retention, configuration: Configuration
) -> None:
    """Closing twice is the same as once; what never began is closed, too."""
    await pruner.close()
    pruner.start()
    configuration.replace(configuration.current)
    assert await log.steps.get() == "pruning"
    await pruner.close()
    assert await log.steps.get() == "gave way"
    await pruner.close()


async def test_nothing_goes_by_its_age_while_the_clock_is_doubtful(
    log: SlowLog,
    pruner: Retention,
    configuration: Configuration,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What goes by its size still does; the log says so once, and an hour later the clock is believed."""
    log.ending.set()
    pruner.start()
    clock.is_set(timedelta(days=366))
    for _ in range(2):
        configuration.replace(configuration.current)
        assert [await log.steps.get() for _ in range(2)] == ["pruning", "pruned"]
    by_size = AuditConfig(keep_output=Keep(bytes=10**9))
    assert log.kept == [by_size, by_size]
    (told,) = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert "it was set forward by 366d" in told
    assert "set it right, or remove `days`" in told
    clock.goes_on(timedelta(hours=1))
    configuration.replace(configuration.current)
    assert [await log.steps.get() for _ in range(2)] == ["pruning", "pruned"]
    assert log.kept[2:] == [KEEP]


async def test_doubtful_clock_is_no_matter_where_nothing_goes_by_its_age(
    log: SlowLog,
    pruner: Retention,
    configuration: Configuration,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nothing is told then."""
    by_size = AuditConfig(keep_events=Keep(bytes=10**9))
    log.ending.set()
    pruner.start()
    clock.is_set(timedelta(days=366))
    configuration.replace(Config(audit=by_size))
    assert [await log.steps.get() for _ in range(2)] == ["pruning", "pruned"]
    assert log.kept == [by_size]
    assert caplog.messages == []
