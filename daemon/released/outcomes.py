"""Recording what became of a deployment: once for each release, whoever reports it how often."""

import asyncio
import logging
from contextlib import nullcontext

from released.audit.log import AuditLog
from released.audit.records import ReportedOutcome
from released.crash import CrashPoint, crash_point
from released.errors import FailedPrecondition, NotFound
from released.model.events import OutcomeReported
from released.release.rolling_back import Prepared, RollBack
from released.requests import check_ended

logger = logging.getLogger(__name__)

LONGEST_REASON = 256
"""Characters of the reason that an error quotes: all of it is in the release."""


class Outcomes:
    """The one who decides which report counts. A report belongs to nobody who calls: it is done in full.

    It is no result, for which the reserve of the log's disk is kept: no release waits for it, and
    whoever is refused can report it again at any time.
    """

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit
        self._latest: dict[str, asyncio.Task[None]] = {}
        """The last report that is under way, by its release."""

    async def report(
        self, release_id: str, report: OutcomeReported, roll_back: RollBack | None = None
    ) -> None:
        """Record a report durably; the same one again is as good as once.

        With `roll_back`, a rollback is accepted together with it, unless there was one before; the
        same report again may still ask for that. Raises NotFound, FailedPrecondition for a release that
        has not ended, or of which something else was reported, and what `roll_back` raises.
        """
        earlier = self._latest.get(release_id)
        task = asyncio.create_task(self._record(release_id, report, roll_back, earlier))
        self._latest[release_id] = task
        task.add_done_callback(lambda done: self._forget(release_id, done))
        await asyncio.shield(task)

    async def close(self) -> None:
        """Let the reports that are under way be done: the log takes or refuses each of them."""
        if self._latest:
            await asyncio.wait(self._latest.values())

    async def _record(
        self,
        release_id: str,
        report: OutcomeReported,
        roll_back: RollBack | None,
        earlier: asyncio.Task[None] | None,
    ) -> None:
        if earlier:
            await asyncio.wait({earlier})
        record = await self._audit.query.release(release_id)
        if record is None:
            raise NotFound("RELEASE_NOT_FOUND", f"there is no release {release_id}")
        check_ended(record)
        if record.outcome:
            _check_same(report, record.outcome)
        if record.rollback:
            roll_back = None
        if record.outcome and roll_back is None:
            return
        async with roll_back(()) if roll_back else nullcontext(Prepared()) as rollback:
            reports = () if record.outcome else (report,)
            await self._audit.append(release_id, *reports, with_others=rollback.accepting)
        crash_point(CrashPoint.OUTCOME_STORED)
        logger.info("releases/%s: %s reported %s", release_id, report.caller, report.outcome)

    def _forget(self, release_id: str, task: asyncio.Task[None]) -> None:
        if self._latest.get(release_id) is task:
            del self._latest[release_id]
        if not task.cancelled():
            task.exception()  # nobody may be there any more to be told


def _check_same(report: OutcomeReported, reported: ReportedOutcome) -> None:
    """Raise FailedPrecondition unless a report says what was said before, whoever said it.

    One without a reason contradicts none: a person who asks for a rollback need not know what an agent gave.
    """
    if report.outcome is reported.outcome and report.reason in ("", reported.reason):
        return
    reason = reported.reason[:LONGEST_REASON]
    because = f', because "{reason}"' if reason else ""
    raise FailedPrecondition(
        "OUTCOME_REPORTED",
        f"{reported.caller} has reported {reported.outcome}{because}: an outcome is reported once",
        {"outcome": reported.outcome, "reason": reason},
    )
