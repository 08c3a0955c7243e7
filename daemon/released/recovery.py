"""What becomes, at the start of the daemon, of the releases that had not ended when it went."""

import logging
from datetime import UTC, datetime

from released.audit.log import AuditLog
from released.audit.records import ReleaseRecord
from released.engine.engine import Engine
from released.engine.errors import EngineError
from released.model.release import Secrets
from released.model.states import Cause, CommandState, ReleaseState
from released.release.cleaning import remove_containers
from released.release.journal import Journal
from released.release.verdict import SUCCEEDED, Verdict, explain_exit, failed
from released.releases import Releases
from released.vault import Vault

logger = logging.getLogger(__name__)


async def recover(releases: Releases, audit: AuditLog, engine: Engine, vault: Vault) -> None:
    """Queue again what waited, and settle what was under way: its container is removed, then it ends.

    The lane of a release stays taken until it is settled, however long the engine is gone.
    """
    await _remove_leftovers(releases, audit, engine)
    unfinished = await audit.query.unfinished()
    vault.keep_only({record.release_id for record in unfinished})
    for record in unfinished:
        if record.state is not ReleaseState.QUEUED:
            settling = _settle(record, audit, engine)
            releases.settle(record.release_id, record.spec.target, settling)
        elif (secrets := vault.get(record.release_id)) or not record.with_secrets:
            waited = datetime.now(UTC) - record.create_time
            releases.enqueue_again(record.release_id, record.spec, secrets or Secrets(), waited)
        else:
            ending = Journal.resumed(audit, record).conclude_at_last(_values_lost())
            releases.settle(record.release_id, record.spec.target, ending)


async def _remove_leftovers(releases: Releases, audit: AuditLog, engine: Engine) -> None:
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
            releases.settle(release_id, record.spec.target, remove_containers(engine, release_id))


async def _settle(record: ReleaseRecord, audit: AuditLog, engine: Engine) -> None:
    journal = Journal.resumed(audit, record)
    removed = await remove_containers(engine, record.release_id)
    await journal.conclude_at_last(verdict_on(record), *removed)


def verdict_on(record: ReleaseRecord) -> Verdict:
    """Say how a release ended whose daemon went away: by what was recorded, and no better than that."""
    for command in record.commands:
        if command.state is CommandState.FAILED and command.exit_code is not None:
            return failed(Cause.COMMAND_FAILED, explain_exit(command.exit_code), command.index)
    if all(command.state is CommandState.SUCCEEDED for command in record.commands):
        return SUCCEEDED
    running = next((c.index for c in record.commands if c.state is CommandState.RUNNING), None)
    message = "the daemon was interrupted while the release was under way"
    if running is not None:
        message += ", and how the command ended was not seen: find out before you run it again"
    return failed(Cause.INTERRUPTED, message, running)


def _values_lost() -> Verdict:
    return failed(
        Cause.INTERRUPTED,
        "the daemon was restarted while the release waited, and the values of its environment variables "
        "and its credentials, which are never stored on a disk, are gone: start it again",
    )
