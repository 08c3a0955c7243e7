"""Accepting rollbacks: of a release together with its failure, and of one that has ended with its outcome."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from released.audit.log import AuditLog
from released.config import Configuration
from released.crash import CrashPoint, crash_point
from released.errors import ResourceExhausted
from released.model.caller import Caller
from released.model.events import CommandFinished, NewEvent, ReleaseAccepted
from released.model.ids import new_release_id
from released.model.instant import now
from released.model.release import ReleaseSpec, Secrets, Target
from released.release.rolling_back import NO_ROOM, VALUES_LOST, Prepared, not_rolled_back
from released.requests import check_newest
from released.rollback import Values, in_groups, rollback_spec
from released.scheduler import Scheduler
from released.vault import Vault

logger = logging.getLogger(__name__)

Placed = Callable[[str, ReleaseSpec, Secrets], AbstractAsyncContextManager[ReleaseSpec]]
"""Lets a release that has its place in the scheduler wait for its turn once the block has recorded it; if the
block raises, takes its place and its values away."""

CheckAccepting = Callable[[ReleaseSpec], Awaitable[None]]
"""Raises why no release can be accepted now."""


class Rollbacks:
    """Takes the places of rollbacks; they wait and run as all releases do, which is no matter of theirs."""

    def __init__(
        self,
        audit: AuditLog,
        vault: Vault,
        configuration: Configuration,
        scheduler: Scheduler,
        placed: Placed,
        check_accepting: CheckAccepting,
    ) -> None:
        self._audit = audit
        self._vault = vault
        self._configuration = configuration
        self._scheduler = scheduler
        self._placed = placed
        self._check_accepting = check_accepting

    @asynccontextmanager
    async def of_failed(
        self, release_id: str, secrets: Secrets | None, seen: Sequence[CommandFinished]
    ) -> AsyncIterator[Prepared]:
        """Prepare the rollback of a release that is under way and fails; see rolling_back.RollBack."""
        record = await self._audit.query.release(release_id)
        spec = rollback_spec(record, seen) if record else None
        if record is None or spec is None:
            yield Prepared()
            return
        remark = partial(not_rolled_back, release_id, has_variables=bool(spec.environment_names))
        if secrets is None and spec.environment_names:
            # It would fail, and a release is rolled back once.
            yield Prepared(remark=remark(VALUES_LOST, ""))
            return
        secrets = secrets or Secrets()  # credentials that are lost: nothing is pulled for it
        rollback_id = new_release_id()
        try:
            self._vault.share(release_id, rollback_id)
        except ResourceExhausted as error:
            logger.error("the release's rollback can't be accepted: %s", error)
            yield Prepared(remark=remark(str(error), "make room there, then "))
            return
        spec = in_groups(spec, self._groups_now(spec.target))
        self._scheduler.reserve_behind(rollback_id, release_id, spec.lock_groups)
        async with self._placed(rollback_id, spec, secrets):
            events = _acceptance(rollback_id, spec, record.caller, with_secrets=bool(secrets))
            yield Prepared(events, remark(NO_ROOM, "make room on it, then "))

    @asynccontextmanager
    async def of_ended(
        self, values: Values, caller: Caller, release_id: str, seen: Sequence[CommandFinished]
    ) -> AsyncIterator[Prepared]:
        """Prepare the rollback of a release that has ended; see rolling_back.RollBack.

        Raises FailedPrecondition if another release has built upon it since, and why none is accepted.
        """
        record = await self._audit.query.release(release_id)
        spec = rollback_spec(record, seen) if record else None
        if record is None or spec is None:
            yield Prepared()
            return
        await self._check_accepting(spec)
        rollback_id = new_release_id()
        spec = in_groups(values.put_into(spec), self._groups_now(spec.target))
        self._scheduler.reserve(rollback_id, spec.target, spec.lock_groups)
        async with self._placed(rollback_id, spec, values.secrets):
            # Its place is taken: whoever comes from here on comes behind it.
            groups = self._configuration.current.groups
            await check_newest(self._audit.query, self._scheduler, record, spec, rollback_id, groups)
            self._vault.put(rollback_id, values.secrets)
            yield Prepared(_acceptance(rollback_id, spec, caller, with_secrets=bool(values.secrets)))

    def _groups_now(self, target: Target) -> tuple[str, ...]:
        return self._configuration.current.groups.of(target)


def _acceptance(
    rollback_id: str, spec: ReleaseSpec, caller: Caller | None, *, with_secrets: bool
) -> Sequence[NewEvent]:
    """What accepts a rollback, once its values are kept."""
    crash_point(CrashPoint.ROLLBACK_READY)
    logger.info("releases/%s is rolled back by releases/%s", spec.rollback_of, rollback_id)
    accepted = ReleaseAccepted(spec=spec, caller=caller, with_secrets=with_secrets, at=now())
    return [NewEvent(rollback_id, accepted)]
