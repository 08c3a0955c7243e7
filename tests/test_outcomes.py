"""Reports of what became of a deployment: each release has one, whoever reports it how often."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from released.audit.log import AuditLog
from released.errors import FailedPrecondition, NotFound, ResourceExhausted
from released.model.events import AnyBody, Failure, OutcomeReported, StateChanged
from released.model.states import Cause, Outcome, ReleaseState
from released.outcomes import Outcomes
from support import audit_log
from support.samples import CALLER, OTHER_RELEASE, RELEASE, accepted
from support.small_disk import KIB, fill, make_room, small_disk

SUCCEEDED = StateChanged(state=ReleaseState.SUCCEEDED)
FAILED = StateChanged(
    state=ReleaseState.FAILED, failure=Failure(cause=Cause.COMMAND_FAILED, message="it failed")
)
DEPLOYED = OutcomeReported(outcome=Outcome.DEPLOYED, caller=CALLER)
ABANDONED = OutcomeReported(outcome=Outcome.ABANDONED, caller=CALLER, reason="health check")


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    """A log with a release that has succeeded."""
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"), SUCCEEDED)
        yield audit


@pytest.fixture
def outcomes(audit: AuditLog) -> Outcomes:
    return Outcomes(audit)


async def reports_in(audit: AuditLog, release_id: str = RELEASE) -> list[AnyBody]:
    """What is recorded behind the end of a release."""
    return (await audit_log.bodies_of(audit, release_id))[2:]


@pytest.mark.parametrize("end", [SUCCEEDED, FAILED, StateChanged(state=ReleaseState.CANCELLED)])
async def test_any_release_that_has_ended_may_have_one(
    audit: AuditLog, outcomes: Outcomes, end: StateChanged
) -> None:
    """Also one that failed: somebody may have deployed it all the same."""
    await audit.append(OTHER_RELEASE, accepted("true"), end)
    await outcomes.report(OTHER_RELEASE, DEPLOYED)
    assert await reports_in(audit, OTHER_RELEASE) == [DEPLOYED]
    assert (await audit.verify()).problems == []


async def test_the_same_report_again_changes_nothing(audit: AuditLog, outcomes: Outcomes) -> None:
    """Whoever says it."""
    await outcomes.report(RELEASE, ABANDONED)
    somebody_else = msgspec.structs.replace(CALLER, uid=7)
    await outcomes.report(RELEASE, msgspec.structs.replace(ABANDONED, caller=somebody_else))
    assert await reports_in(audit) == [ABANDONED]


async def test_report_without_a_reason_is_the_same_as_with_one(audit: AuditLog, outcomes: Outcomes) -> None:
    """A person who asks for its rollback need not repeat what an agent gave."""
    await outcomes.report(RELEASE, ABANDONED)
    await outcomes.report(RELEASE, msgspec.structs.replace(ABANDONED, reason=""))
    assert await reports_in(audit) == [ABANDONED]


@pytest.mark.parametrize("second", [DEPLOYED, msgspec.structs.replace(ABANDONED, reason="another")])
async def test_another_report_is_refused(
    audit: AuditLog, outcomes: Outcomes, second: OutcomeReported
) -> None:
    """With what was reported, and by whom."""
    await outcomes.report(RELEASE, ABANDONED)
    with pytest.raises(FailedPrecondition) as refused:
        await outcomes.report(RELEASE, second)
    assert refused.value.reason == "OUTCOME_REPORTED"
    assert refused.value.metadata == {"outcome": "ABANDONED", "reason": "health check"}
    assert str(refused.value) == (
        'ci (uid 1000) has reported ABANDONED, because "health check": an outcome is reported once'
    )
    assert await reports_in(audit) == [ABANDONED]


async def test_release_that_has_not_ended(audit: AuditLog, outcomes: Outcomes) -> None:
    """Nobody knows yet."""
    await audit.append(OTHER_RELEASE, accepted("true"), StateChanged(state=ReleaseState.PREPARING))
    with pytest.raises(FailedPrecondition, match="the release is PREPARING") as refused:
        await outcomes.report(OTHER_RELEASE, DEPLOYED)
    assert refused.value.reason == "RELEASE_NOT_ENDED"
    assert await reports_in(audit, OTHER_RELEASE) == []


async def test_release_that_is_not_there(outcomes: Outcomes) -> None:
    """It may have been pruned."""
    with pytest.raises(NotFound):
        await outcomes.report("x", DEPLOYED)


async def test_of_reports_at_the_same_time_exactly_one_counts(audit: AuditLog, outcomes: Outcomes) -> None:
    """The first one; whoever said the same is answered as if alone, all others are refused."""
    reports = [DEPLOYED, ABANDONED, DEPLOYED, ABANDONED] * 5
    answers = await asyncio.gather(
        *(outcomes.report(RELEASE, report) for report in reports), return_exceptions=True
    )
    assert await reports_in(audit) == [DEPLOYED]
    assert [answer is None for answer in answers] == [report is DEPLOYED for report in reports]


async def test_close_lets_a_report_be_done(audit: AuditLog, outcomes: Outcomes) -> None:
    """Though whoever called has gone."""
    call = asyncio.create_task(outcomes.report(RELEASE, DEPLOYED))
    await asyncio.sleep(0)
    call.cancel()
    await outcomes.close()
    assert await reports_in(audit) == [DEPLOYED]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk of its own")
async def test_full_disk_refuses_a_report_and_keeps_its_reserve(tmp_path: Path) -> None:
    """That is for the results of releases under way; the report can be made again when there is room."""
    with small_disk(tmp_path / "disk", kib=8 * KIB) as disk:
        async with audit_log.opened(disk / "audit.db", 1024 * KIB) as audit:
            await audit.append(RELEASE, accepted("true"), SUCCEEDED)
            outcomes = Outcomes(audit)
            fill(disk)
            # SQLite may find room in its write-ahead log for a while.
            with pytest.raises(ResourceExhausted, match="is full"):
                await asyncio.gather(*(audit.append(f"r{n}", accepted("x" * 10_000)) for n in range(1000)))
            with pytest.raises(ResourceExhausted):
                await outcomes.report(RELEASE, msgspec.structs.replace(DEPLOYED, reason="x" * 1024))
            assert audit.reserve_bytes == 1024 * KIB
            make_room(disk)
            await outcomes.report(RELEASE, DEPLOYED)
            assert await reports_in(audit) == [DEPLOYED]
