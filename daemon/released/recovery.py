"""Going on, at the start of the daemon, with the releases that had not ended when it went."""

import logging
from datetime import UTC, datetime

from released.audit.log import AuditLog
from released.engine.engine import Engine
from released.engine.errors import EngineError
from released.model.release import Secrets
from released.model.states import Cause, ReleaseState
from released.release.cleaning import remove_containers
from released.release.containers import VALUES_LOST
from released.release.journal import Journal
from released.release.verdict import failed
from released.releases import Releases
from released.troubles import Troubles
from released.vault import Vault

logger = logging.getLogger(__name__)


async def recover(
    releases: Releases, audit: AuditLog, engine: Engine, vault: Vault, troubles: Troubles
) -> None:
    """Queue again what waited, and adopt what was under way: its container may be running."""
    await _remove_leftovers(releases, audit, engine, troubles)
    unfinished = await audit.query.unfinished()
    vault.keep_only({record.release_id for record in unfinished})
    for record in unfinished:
        secrets = vault.get(record.release_id) or (None if record.with_secrets else Secrets())
        if record.state is not ReleaseState.QUEUED:
            releases.adopt(record, secrets)
        elif secrets is not None:
            waited = datetime.now(UTC) - record.create_time
            releases.enqueue_again(record.release_id, record.spec, secrets, waited)
        else:
            ending = Journal.resumed(audit, record).conclude_at_last(failed(Cause.INTERRUPTED, VALUES_LOST))
            releases.settle(record.release_id, record.spec.target, ending)


async def _remove_leftovers(releases: Releases, audit: AuditLog, engine: Engine, troubles: Troubles) -> None:
    """Take up the removal of containers whose release was reported as lost before they were gone."""
    try:
        found = await engine.releases_with_containers()
    except EngineError as error:
        logger.warning("whether containers of ended releases are left is not known: %s", error)
        return
    for release_id in found:
        record = await audit.query.release(release_id)
        if record is not None and record.state.is_terminal:
            logger.warning("removing what releases/%s has left behind", release_id)
            releases.settle(release_id, record.spec.target, remove_containers(engine, release_id, troubles))
