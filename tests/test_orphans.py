"""When a container without a release under way is taken for an orphan, and removed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import cast

import pytest

from released.engine.engine import Engine, OwnContainer
from released.engine.errors import EngineError, EngineRefused, EngineUnreachable
from released.model.release import Target
from released.monitor import EngineHealth
from released.orphans import Orphans
from released.scheduler import Scheduler
from support.samples import OTHER_RELEASE, RELEASE

SHOP = Target("shop", "live")
DAEMON = "0123456789abcdef"
GRACE = 60.0


class ScriptedEngine:
    """An engine with these containers, and a clock beside it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.containers: list[OwnContainer] = []
        self.error: Exception | None = None
        self.removal_errors: dict[str, EngineError] = {}
        self.listed = asyncio.Semaphore(0)

    def add(self, container_id: str, release_id: str = RELEASE) -> None:
        self.containers.append(OwnContainer(container_id, f"release-{container_id}", release_id))

    @property
    def left(self) -> list[str]:
        return [container.container_id for container in self.containers]

    async def containers_of_daemon(self, instance_id: str) -> list[OwnContainer]:
        assert instance_id == DAEMON
        self.listed.release()
        if self.error:
            raise self.error
        return list(self.containers)

    async def remove_container(self, container_id: str) -> None:
        if error := self.removal_errors.get(container_id):
            raise error
        self.containers = [each for each in self.containers if each.container_id != container_id]


@pytest.fixture
def scripted() -> ScriptedEngine:
    return ScriptedEngine()


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(16)


@pytest.fixture
def orphans(scripted: ScriptedEngine, scheduler: Scheduler) -> Orphans:
    grace = timedelta(seconds=GRACE)
    return Orphans(cast(Engine, scripted), scheduler, DAEMON, grace, lambda: scripted.now)


async def test_orphan_is_removed_when_it_has_been_seen_for_the_grace(
    scripted: ScriptedEngine, orphans: Orphans
) -> None:
    """Not earlier: whoever ends a release may be about to remove its container."""
    scripted.add("a")
    await orphans.sweep()
    scripted.now += GRACE - 1
    await orphans.sweep()
    assert scripted.left == ["a"]
    scripted.now += 1
    await orphans.sweep()
    assert scripted.left == []


async def test_grace_that_is_changed_holds_for_whoever_is_seen_for_the_first_time_then(
    scripted: ScriptedEngine, orphans: Orphans
) -> None:
    """What was seen before keeps the grace that it was promised."""
    scripted.add("a")
    await orphans.sweep()
    orphans.leave_alone(timedelta(seconds=1))
    scripted.add("b")
    await orphans.sweep()
    scripted.now += 1
    await orphans.sweep()
    assert scripted.left == ["a"]


async def test_container_of_a_release_in_its_lane_is_no_orphan(
    scripted: ScriptedEngine, scheduler: Scheduler, orphans: Orphans
) -> None:
    """However long it runs; the grace counts from when its release has left."""
    scripted.add("a")
    scheduler.reserve(RELEASE, SHOP)
    scheduler.confirm(RELEASE)
    await orphans.sweep()
    scripted.now += 10 * GRACE
    await orphans.sweep()
    scheduler.leave(RELEASE)
    await orphans.sweep()
    assert scripted.left == ["a"]
    scripted.now += GRACE
    await orphans.sweep()
    assert scripted.left == []


async def test_container_that_was_gone_meanwhile_counts_anew(
    scripted: ScriptedEngine, orphans: Orphans
) -> None:
    """And so nothing is remembered for ever."""
    scripted.add("a")
    await orphans.sweep()
    scripted.containers.clear()
    await orphans.sweep()
    scripted.now += GRACE
    scripted.add("a")
    await orphans.sweep()
    assert scripted.left == ["a"]


async def test_orphan_that_cannot_be_removed_is_stuck_until_it_can(
    scripted: ScriptedEngine, orphans: Orphans, caplog: pytest.LogCaptureFixture
) -> None:
    """The status names it with the reason; the log says it once; others are removed meanwhile."""
    scripted.add("a")
    scripted.add("b", OTHER_RELEASE)
    scripted.removal_errors["a"] = EngineRefused(500, "removing the container", "device busy")
    await orphans.sweep()
    assert list(orphans.stuck()) == []
    scripted.now += GRACE
    await orphans.sweep()
    await orphans.sweep()
    assert scripted.left == ["a"]
    (stuck,) = orphans.stuck()
    assert (stuck.container.name, stuck.message) == ("release-a", "removing the container: device busy")
    scripted.removal_errors.clear()
    await orphans.sweep()
    assert (scripted.left, list(orphans.stuck())) == ([], [])
    assert [record.getMessage() for record in caplog.records] == [
        f"the orphan release-a of releases/{RELEASE} is stuck: removing the container: device busy",
        f"removed the orphan release-b, left behind by releases/{OTHER_RELEASE}",
        f"removed the orphan release-a, left behind by releases/{RELEASE}",
    ]


async def test_engine_that_is_away_changes_nothing(scripted: ScriptedEngine, orphans: Orphans) -> None:
    """What was seen before is still known when it is back."""
    scripted.add("a")
    await orphans.sweep()
    scripted.now += GRACE
    scripted.error = EngineUnreachable("gone")
    await orphans.sweep()
    scripted.error = None
    await orphans.sweep()
    assert scripted.left == []


@asynccontextmanager
async def looking(orphans: Orphans) -> AsyncIterator[None]:
    orphans.start()
    try:
        yield
    finally:
        await orphans.close()
        await orphans.close()


async def test_it_looks_at_once_when_the_engine_is_back(scripted: ScriptedEngine, orphans: Orphans) -> None:
    """An engine that has gone is no reason to."""
    async with looking(orphans):
        await scripted.listed.acquire()
        await orphans.engine_changed(EngineHealth(reachable=False))
        for _ in range(10):
            await asyncio.sleep(0)
        assert scripted.listed.locked()
        await orphans.engine_changed(EngineHealth(reachable=True))
        await scripted.listed.acquire()


async def test_unexpected_error_does_not_end_the_looking(
    scripted: ScriptedEngine, orphans: Orphans, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged as the defect that it is, and the next look comes."""
    scripted.error = LookupError("a defect")
    async with looking(orphans):
        await scripted.listed.acquire()
        await orphans.engine_changed(EngineHealth(reachable=True))
        await scripted.listed.acquire()
    assert "LookupError: a defect" in caplog.text
