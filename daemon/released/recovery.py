"""Going on, at the start of the daemon, with the releases that had not ended when it went."""

import asyncio
import logging

from released.audience import NotYet
from released.audit.faults import unusable
from released.audit.log import AuditLog
from released.audit.records import ReleaseRecord
from released.engine.engine import Engine
from released.engine.errors import EngineError
from released.errors import ApplicationError, Unavailable
from released.model.release import Secrets
from released.model.states import Cause, ReleaseState
from released.monitor import EngineHealth
from released.release.cleaning import remove_containers
from released.release.containers import VALUES_LOST
from released.release.journal import Journal
from released.release.rolling_back import nothing_undone
from released.release.standing import Since
from released.release.verdict import failed, with_remark
from released.releases import Releases
from released.troubles import Troubles
from released.vault import Vault

logger = logging.getLogger(__name__)

LOOKING_SECONDS = 3.0
"""How long a look may take: whoever asks for the status waits for it."""


async def recover(releases: Releases, audit: AuditLog, vault: Vault) -> None:
    """Queue again what waited, and adopt what was under way: its container may be running.

    Raises StartupError if it can't be read what that is.
    """
    try:
        unfinished = await audit.query.unfinished()
    except Unavailable as error:
        # What it says is for those who ask a daemon that runs.
        raise unusable(error.__cause__ or error, audit.path) from error
    vault.keep_only({record.release_id for record in unfinished})
    for record in sorted(unfinished, key=_turn):
        secrets = vault.get(record.release_id) or (None if record.with_secrets else Secrets())
        if record.state is not ReleaseState.QUEUED:
            releases.adopt(record, secrets)
        elif secrets is not None:
            waited = Since(record.accepted_at, record.create_time).elapsed()
            releases.enqueue_again(record.release_id, record.spec, secrets, waited)
        else:
            verdict = failed(Cause.INTERRUPTED, VALUES_LOST)
            if record.spec.rollback_of:
                verdict = with_remark(verdict, nothing_undone(record.release_id))
            ending = Journal.resumed(audit, record).conclude_at_last(verdict)
            releases.settle(record.release_id, record.spec, ending)


def _turn(record: ReleaseRecord) -> tuple[bool, bool]:
    """Sort what was under way before whatever waits, and rollbacks before what waited when they came."""
    return record.state is ReleaseState.QUEUED, not record.spec.rollback_of


class Leftovers:
    """Containers whose release was reported as lost before they were gone.

    While one may run, no other release of its target or lock groups may: so they are looked for when the
    engine is there for the first time, and nothing is started before it is known which there are.
    """

    def __init__(self, releases: Releases, audit: AuditLog, engine: Engine, troubles: Troubles) -> None:
        self._releases = releases
        self._audit = audit
        self._engine = engine
        self._troubles = troubles
        self._looked = False

    async def engine_changed(self, health: EngineHealth) -> None:
        """Look for them, if that has not been done, and let the releases know of the engine then."""
        if health.reachable and not self._looked:
            self._releases.scheduler.set_open(False)
            await self._look()
            self._looked = True
        await self._releases.engine_changed(health)

    async def _look(self) -> None:
        """Have each in its lane and lock groups until it is removed. Raises NotYet; safe to repeat."""
        try:
            async with asyncio.timeout(LOOKING_SECONDS):
                for release_id in await self._engine.releases_with_containers():
                    if not self._releases.scheduler.has(release_id):
                        await self._remove(release_id)
        except (EngineError, ApplicationError, TimeoutError) as error:
            why = str(error) or f"it took more than {LOOKING_SECONDS:g}s"
            raise NotYet(
                f"no release is started before it is known what ended ones have left behind: {why}"
            ) from error

    async def _remove(self, release_id: str) -> None:
        record = await self._audit.query.release(release_id)
        if record is not None and record.state.is_terminal:
            logger.warning("removing what releases/%s has left behind", release_id)
            removal = remove_containers(self._engine, release_id, self._troubles)
            self._releases.settle(release_id, record.spec, removal)
