"""What ended releases have left in the engine: nothing is started before that is known."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from released import recovery
from released.audience import NotYet
from released.audit.log import AuditLog
from released.config import Config, Configuration
from released.engine.engine import Engine
from released.engine.errors import EngineUnreachable
from released.errors import Unavailable
from released.model.events import Failure, StateChanged
from released.model.release import Target
from released.model.states import Cause, ReleaseState
from released.monitor import EngineHealth, EngineMonitor
from released.recovery import Leftovers
from released.release.runs import Runs
from released.releases import Releases
from released.troubles import Troubles
from released.vault import Vault
from support import audit_log
from support.samples import OTHER_RELEASE, RELEASE, accepted

SHOP, BLOG = Target("shop", "live"), Target("blog", "live")
HERE, AWAY = EngineHealth(reachable=True), EngineHealth(reachable=False)
LOST = StateChanged(
    state=ReleaseState.FAILED, failure=Failure(cause=Cause.ENGINE_LOST, message="the engine is gone")
)


class ScriptedEngine:
    """An engine that has containers of these releases, which it takes its time to remove."""

    def __init__(self) -> None:
        self.releases: set[str] = set()
        self.error: Exception | None = None
        self.hangs = False
        self.looks = 0
        self.removable = asyncio.Event()

    async def releases_with_containers(self) -> set[str]:
        self.looks += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.error:
            raise self.error
        return self.releases

    async def containers_of(self, release_id: str) -> list[str]:
        await self.removable.wait()
        return []


@pytest.fixture
def scripted() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        yield audit


@pytest.fixture
async def releases(audit: AuditLog, scripted: ScriptedEngine, tmp_path: Path) -> AsyncIterator[Releases]:
    monitor = cast(EngineMonitor, None)
    vault = Vault.open(tmp_path / "secrets")
    releases = Releases(cast(Runs, None), monitor, audit, vault, Configuration(Config()), Troubles())
    yield releases
    await releases.close()


@pytest.fixture
def leftovers(releases: Releases, audit: AuditLog, scripted: ScriptedEngine) -> Leftovers:
    return Leftovers(releases, audit, cast(Engine, scripted), Troubles())


def may_start(releases: Releases, target: Target, *groups: str) -> bool:
    """Whether a release of this target, with these lock groups, would start now."""
    releases.scheduler.reserve("probe", target, groups)
    started = releases.scheduler.confirm("probe")
    releases.scheduler.leave("probe")
    return started == ["probe"]


async def lose(audit: AuditLog, release_id: str, **fields: Any) -> None:
    """Report a release as one that was lost with its engine."""
    await audit.append(release_id, accepted("true", **fields))
    await audit.append(release_id, LOST)


async def test_leftover_keeps_its_lane_and_no_other(
    leftovers: Leftovers, releases: Releases, audit: AuditLog, scripted: ScriptedEngine
) -> None:
    """Until it is removed; a container of another daemon's release keeps none."""
    await lose(audit, RELEASE)
    scripted.releases = {RELEASE, OTHER_RELEASE}
    await leftovers.engine_changed(HERE)
    assert (may_start(releases, SHOP), may_start(releases, BLOG)) == (False, True)
    gone = asyncio.Event()
    releases.listen(gone.set)
    scripted.removable.set()
    await gone.wait()
    assert may_start(releases, SHOP)


async def test_leftover_keeps_its_lock_groups(
    leftovers: Leftovers, releases: Releases, audit: AuditLog, scripted: ScriptedEngine
) -> None:
    """Its container may still write to the database that they are there for."""
    await lose(audit, RELEASE, lock_groups=("db",))
    scripted.releases = {RELEASE}
    await leftovers.engine_changed(HERE)
    assert (may_start(releases, BLOG, "db"), may_start(releases, BLOG, "disk")) == (False, True)
    gone = asyncio.Event()
    releases.listen(gone.set)
    scripted.removable.set()
    await gone.wait()
    assert may_start(releases, BLOG, "db")


@pytest.mark.parametrize("before", [(), (AWAY,)])
async def test_nothing_starts_before_the_look_has_succeeded(
    leftovers: Leftovers, releases: Releases, scripted: ScriptedEngine, before: tuple[EngineHealth, ...]
) -> None:
    """Whether the engine was there at the start of the daemon, or came later; then it is looked no more."""
    for health in before:
        await leftovers.engine_changed(health)
    scripted.error = EngineUnreachable("gone again")
    with pytest.raises(NotYet, match="gone again"):
        await leftovers.engine_changed(HERE)
    assert not may_start(releases, SHOP)
    scripted.error = None
    await leftovers.engine_changed(HERE)
    assert may_start(releases, SHOP)
    await leftovers.engine_changed(AWAY)
    assert not may_start(releases, SHOP)
    await leftovers.engine_changed(HERE)
    assert (may_start(releases, SHOP), scripted.looks) == (True, 2)


async def test_look_that_takes_too_long_has_failed(
    leftovers: Leftovers, releases: Releases, scripted: ScriptedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for the status does not wait for it, and nothing starts."""
    monkeypatch.setattr(recovery, "LOOKING_SECONDS", 0.01)
    scripted.hangs = True
    with pytest.raises(NotYet, match=r"more than 0\.01s"):
        await leftovers.engine_changed(HERE)
    assert not may_start(releases, SHOP)


async def test_log_that_cannot_be_read_leaves_it_unknown(
    leftovers: Leftovers,
    releases: Releases,
    audit: AuditLog,
    scripted: ScriptedEngine,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether a release has ended is in the audit log only."""

    async def failing(release_id: str) -> None:
        raise Unavailable("AUDIT_UNREADABLE", "the audit log can't be read")

    await lose(audit, RELEASE)
    scripted.releases = {RELEASE}
    with monkeypatch.context() as patch:
        patch.setattr(audit.query, "release", failing)
        with pytest.raises(NotYet, match="can't be read"):
            await leftovers.engine_changed(HERE)
    assert not may_start(releases, BLOG)
    await leftovers.engine_changed(HERE)
    assert (may_start(releases, SHOP), may_start(releases, BLOG)) == (False, True)
