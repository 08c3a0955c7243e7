"""What holds of all releases under way, whatever becomes of one of them."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest

from released.audit.log import AuditLog
from released.config import Config, Configuration
from released.errors import ResourceExhausted
from released.model.ids import new_release_id
from released.model.release import Secrets
from released.monitor import EngineHealth, EngineMonitor
from released.release.runs import Runs
from released.releases import Releases
from released.requests import check_lane
from released.service.daemon import lane_status
from released.troubles import Troubles
from released.vault import Vault
from support import audit_log
from support.samples import OTHER_RELEASE, RELEASE, a_spec

SECRETS = Secrets(environment={"TOKEN": "hush"})


class Setting:
    """Releases without an engine, and what they keep elsewhere."""

    def __init__(self, folder: Path, audit: AuditLog) -> None:
        self.troubles = Troubles()
        self.vault = Vault.open(folder / "secrets")
        monitor = cast(EngineMonitor, None)
        self.releases = Releases(
            cast(Runs, None), monitor, audit, self.vault, Configuration(Config()), self.troubles
        )


@pytest.fixture
async def setting() -> AsyncIterator[Setting]:
    # In memory, where alone secrets are kept.
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name:
        folder = Path(name)
        async with audit_log.opened(folder / "audit.db") as audit:
            setting = Setting(folder, audit)
            yield setting
            await setting.releases.close()


async def test_defect_keeps_the_lane_and_the_secrets_of_its_release(setting: Setting) -> None:
    """Whether anything of it runs is not known: the next start goes on with it, and the status says so."""
    releases, spec = setting.releases, a_spec("true")
    setting.vault.put(RELEASE, SECRETS)
    failed = asyncio.Event()

    async def fail() -> None:
        failed.set()
        raise LookupError("a defect")

    releases.settle(RELEASE, spec, fail())
    releases.enqueue_again(OTHER_RELEASE, spec, Secrets(), timedelta())
    await failed.wait()
    (lane,) = releases.scheduler.lanes()
    assert (lane.running, lane.waiting) == ((RELEASE,), (OTHER_RELEASE,))
    assert "unexpected error" in lane_status(lane, setting.troubles).trouble
    assert setting.vault.get(RELEASE) == SECRETS


async def test_what_was_accepted_is_queued_again_whatever_the_limit_is_now(setting: Setting) -> None:
    """A start of the daemon forgets nothing; only new releases have to wait until there is room."""
    releases, spec = setting.releases, a_spec("true")
    await releases.engine_changed(EngineHealth(reachable=False))
    accepted = [new_release_id() for _ in range(2 * Config().releases.max_queued)]
    for release_id in accepted:
        releases.enqueue_again(release_id, spec, Secrets(), timedelta())
    (lane,) = releases.scheduler.lanes()
    assert list(lane.waiting) == accepted
    with pytest.raises(ResourceExhausted, match="shop/live has 39 releases waiting"):
        check_lane(releases.scheduler, spec, Config().releases.max_queued)


async def test_release_that_has_ended_gives_its_lane_away(setting: Setting) -> None:
    """And nothing of it is kept."""
    releases, spec = setting.releases, a_spec("true")
    setting.vault.put(RELEASE, SECRETS)
    setting.troubles.report(RELEASE, "the container can't be removed")
    ended = asyncio.Event()

    async def end() -> None:
        ended.set()

    releases.settle(RELEASE, spec, end())
    await ended.wait()
    assert list(releases.scheduler.lanes()) == []
    assert setting.troubles.of(RELEASE) is None
    assert setting.vault.get(RELEASE) is None
