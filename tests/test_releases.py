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
from released.model.release import Secrets
from released.monitor import EngineMonitor
from released.release.runs import Runs
from released.releases import Releases
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

    releases.settle(RELEASE, spec.target, fail())
    releases.enqueue_again(OTHER_RELEASE, spec, Secrets(), timedelta())
    await failed.wait()
    (lane,) = releases.scheduler.lanes()
    assert (lane.running, lane.waiting) == ((RELEASE,), (OTHER_RELEASE,))
    assert "unexpected error" in lane_status(lane, setting.troubles).trouble
    assert setting.vault.get(RELEASE) == SECRETS


async def test_release_that_has_ended_gives_its_lane_away(setting: Setting) -> None:
    """And nothing of it is kept."""
    releases, spec = setting.releases, a_spec("true")
    setting.vault.put(RELEASE, SECRETS)
    setting.troubles.report(RELEASE, "the container can't be removed")
    ended = asyncio.Event()

    async def end() -> None:
        ended.set()

    releases.settle(RELEASE, spec.target, end())
    await ended.wait()
    assert list(releases.scheduler.lanes()) == []
    assert setting.troubles.of(RELEASE) is None
    assert setting.vault.get(RELEASE) is None
