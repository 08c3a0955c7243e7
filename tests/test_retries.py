"""What a retry finds when it has its place in its lane: much may have happened since the first look."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from released.audit.log import AuditLog
from released.errors import FailedPrecondition
from released.model.events import CommandFinished, CommandStarted, Failure, StateChanged
from released.model.release import ReleaseSpec
from released.model.states import Cause, CommandState, ReleaseState
from released.retries import Retry
from released.scheduler import Scheduler
from support import audit_log
from support.samples import OTHER_RELEASE, RELEASE, a_command, a_spec, accepted

FAILED = StateChanged(
    state=ReleaseState.FAILED, failure=Failure(cause=Cause.COMMAND_FAILED, message="it failed")
)
COMMANDS = (a_command("a", rollback="undo"), a_command("b"))
RETRY = "the retry"


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    """A log with a release whose first command succeeded, and whose second one failed."""
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        ends = [
            CommandFinished(command_index=index, state=state, exit_code=index)
            for index, state in enumerate((CommandState.SUCCEEDED, CommandState.FAILED))
        ]
        begins = [CommandStarted(command_index=index) for index in range(2)]
        first = accepted()
        first = msgspec.structs.replace(first, spec=msgspec.structs.replace(first.spec, commands=COMMANDS))
        await audit.append(RELEASE, first, *begins, *ends, FAILED)
        yield audit


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler(1)


async def first_look(audit: AuditLog, scheduler: Scheduler) -> tuple[Retry, ReleaseSpec]:
    """A retry that was found to be in order, and what it is to be."""
    record = await audit.query.release(RELEASE)
    assert record
    retry = Retry(audit.query, scheduler, record, from_start=False)
    commands = await retry.commands()
    assert commands is not None
    return retry, msgspec.structs.replace(a_spec(retry_of=RELEASE), commands=commands)


async def test_nothing_has_happened(audit: AuditLog, scheduler: Scheduler) -> None:
    """It stays as it was, whoever has come behind it."""
    retry, spec = await first_look(audit, scheduler)
    assert [command.done_in for command in spec.commands] == [RELEASE, ""]
    scheduler.reserve(RETRY, spec.target)
    scheduler.reserve(OTHER_RELEASE, spec.target)
    assert await retry.last_look(RETRY, spec) == spec


async def test_rollback_that_came_and_went_meanwhile(audit: AuditLog, scheduler: Scheduler) -> None:
    """What it has undone is to be done again."""
    retry, spec = await first_look(audit, scheduler)
    undone = CommandFinished(command_index=0, state=CommandState.SUCCEEDED, exit_code=0)
    end = StateChanged(state=ReleaseState.SUCCEEDED)
    await audit.append(OTHER_RELEASE, accepted("undo", rollback_of=RELEASE), undone, end)
    scheduler.reserve(RETRY, spec.target)
    assert (await retry.last_look(RETRY, spec)).commands == COMMANDS


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({}, "NEWER_RELEASE"), ({"retry_of": RELEASE}, "ALREADY_RETRIED")],
)
async def test_release_that_was_accepted_meanwhile(
    audit: AuditLog, scheduler: Scheduler, fields: dict[str, str], reason: str
) -> None:
    """It is named."""
    retry, spec = await first_look(audit, scheduler)
    await audit.append(OTHER_RELEASE, accepted("true", **fields))
    scheduler.reserve(RETRY, spec.target)
    with pytest.raises(FailedPrecondition) as refused:
        await retry.last_look(RETRY, spec)
    assert (refused.value.reason, refused.value.metadata) == (
        reason,
        {"release": f"releases/{OTHER_RELEASE}"},
    )


async def test_release_that_is_being_accepted(audit: AuditLog, scheduler: Scheduler) -> None:
    """It has its place before the retry, and is not in the log yet: it may be anything."""
    retry, spec = await first_look(audit, scheduler)
    scheduler.reserve(OTHER_RELEASE, spec.target)
    scheduler.reserve(RETRY, spec.target)
    with pytest.raises(FailedPrecondition, match=OTHER_RELEASE) as refused:
        await retry.last_look(RETRY, spec)
    assert refused.value.reason == "NEWER_RELEASE"
