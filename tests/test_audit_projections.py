"""The tables that queries read: right after every kind of event, and only for the release it is about."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import msgspec
import pytest

from released.audit.log import AuditLog
from released.audit.records import ReleaseRecord, ReportedOutcome, RequestedCancel
from released.errors import Unavailable
from released.model import events
from released.model.instant import Instant
from released.model.release import Mount, Resources, Target
from released.model.states import (
    Cause,
    CommandState,
    ContainerMode,
    OnBusy,
    Outcome,
    PullPolicy,
    ReleaseState,
    Stream,
)
from support import audit_log
from support.samples import CALLER, OTHER_RELEASE, RELEASE, a_command, a_spec, accepted

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 31, 13, 0, 0, 123456, tzinfo=UTC)
EARLIER = datetime(2026, 1, 31, 11, 59, 59, 999999, tzinfo=UTC)


def at(time: datetime) -> Any:
    """The clock stands still."""
    return patch("time.time_ns", return_value=round(time.timestamp() * 1e6) * 1000)


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    """A log with two releases of two commands each."""
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        with at(START):
            await audit.append(RELEASE, accepted("a", "b"))
            await audit.append(OTHER_RELEASE, accepted("a", "b"))
        yield audit


async def record_of(audit: AuditLog, release_id: str = RELEASE) -> ReleaseRecord:
    record = await audit.query.release(release_id)
    assert record is not None
    return record


def as_dict(record: ReleaseRecord) -> dict[str, Any]:
    """The record in small parts, each command's on their own."""
    whole = {name: getattr(record, name) for name in record.__slots__}
    for command in whole.pop("commands"):
        whole |= {f"{command.index}.{name}": getattr(command, name) for name in command.__slots__}
    return whole


async def changes(audit: AuditLog, *bodies: events.Body, output: bytes | None = None) -> dict[str, Any]:
    """What events change in the record of their release; the other release stays as it was."""
    before, other = as_dict(await record_of(audit)), await record_of(audit, OTHER_RELEASE)
    with at(LATER):
        for body in bodies:
            if isinstance(body, events.CommandOutput):
                await audit.append_output(RELEASE, [(body, output or b"")])
            else:
                await audit.append(RELEASE, body)
    after = as_dict(await record_of(audit))
    assert await record_of(audit, OTHER_RELEASE) == other
    # The last of the two events before was the other release's.
    assert (before.pop("last_sequence"), after.pop("last_sequence")) == (1, 2 + len(bodies))
    changed = {name: value for name, value in after.items() if value != before[name]}
    if receipt := changed.get("receipt"):
        assert receipt.digest == (await audit_log.events_of(audit, RELEASE))[-1].digest
        changed["receipt"] = receipt.sequence
    return changed


async def test_accepted_release(tmp_path: Path) -> None:
    """Everything that it was asked for, and nothing that has not happened yet."""
    spec = a_spec(
        "a",
        environment_names=("A",),
        networks=("n",),
        mounts=(Mount("/srv", "/data", True),),
        resources=Resources(2**40, 0.5, 7),
        user="u",
        working_dir="/w",
        entrypoint=(),
        pull_policy=PullPolicy.ALWAYS,
        on_busy=OnBusy.REJECT,
        request_id="0190163d-8694-739b-aea5-966c26f8ad91",
        requested_by="agent",
        labels={"team": "ä"},
        container_mode=ContainerMode.PER_COMMAND,
    )
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        with at(START):
            accepted_at = Instant("a-boot", 12.5)
            event = events.ReleaseAccepted(
                spec=spec, caller=CALLER, request_digest="d", with_secrets=True, at=accepted_at
            )
            await audit.append(RELEASE, event)
        assert as_dict(await record_of(audit)) == {
            "release_id": RELEASE,
            "accept_sequence": 1,
            "last_sequence": 1,
            "spec": spec,
            "commands_known": True,
            "caller": CALLER,
            "request_digest": "d",
            "with_secrets": True,
            "accepted_at": accepted_at,
            "state": ReleaseState.QUEUED,
            "failure": None,
            "image_id": "",
            "image_digest": "",
            "container_id": "",
            "container_name": "",
            "engine_version": "",
            "create_time": START,
            "start_time": None,
            "end_time": None,
            "receipt": None,
            "outcome": None,
            "cancel": None,
            "rollback": "",
            "0.index": 0,
            "0.state": CommandState.PENDING,
            "0.exit_code": None,
            "0.signal": 0,
            "0.start_time": None,
            "0.end_time": None,
            "0.stdout_bytes": 0,
            "0.stderr_bytes": 0,
            "0.omitted_bytes": 0,
            "0.stopped": False,
        }


FAILURE = events.Failure(cause=Cause.COMMAND_FAILED, message="it failed", command_index=0)


def ended(state: ReleaseState) -> dict[str, Any]:
    """What every terminal state changes."""
    return {"state": state, "end_time": LATER, "receipt": 3}


CHANGES: list[tuple[events.Body, dict[str, Any]]] = [
    (
        events.StateChanged(state=ReleaseState.PREPARING),
        {"state": ReleaseState.PREPARING, "start_time": LATER},
    ),
    (events.StateChanged(state=ReleaseState.RUNNING), {"state": ReleaseState.RUNNING}),
    (events.StateChanged(state=ReleaseState.SUCCEEDED), ended(ReleaseState.SUCCEEDED)),
    (events.StateChanged(state=ReleaseState.CANCELLED), ended(ReleaseState.CANCELLED)),
    (
        events.StateChanged(state=ReleaseState.FAILED, failure=FAILURE),
        {**ended(ReleaseState.FAILED), "failure": FAILURE},
    ),
    (
        events.ImageResolved(image_id="i", image_digest="d", pulled=True),
        {"image_id": "i", "image_digest": "d"},
    ),
    (events.CommandsResolved(), {"spec": a_spec()}),
    (
        events.ContainerCreated(container_id="c", container_name="n", engine_version="1"),
        {"container_id": "c", "container_name": "n", "engine_version": "1"},
    ),
    (events.CommandStarted(command_index=1), {"1.state": CommandState.RUNNING, "1.start_time": LATER}),
    (
        events.CommandFinished(
            command_index=0, state=CommandState.FAILED, exit_code=137, signal=9, end_time=EARLIER
        ),
        {"0.state": CommandState.FAILED, "0.exit_code": 137, "0.signal": 9, "0.end_time": EARLIER},
    ),
    (
        events.CommandFinished(command_index=0, state=CommandState.FAILED, exit_code=0, stopped=True),
        {"0.state": CommandState.FAILED, "0.exit_code": 0, "0.stopped": True},
    ),
    (
        events.CommandFinished(command_index=0, state=CommandState.SUCCEEDED, exit_code=0, end_time=EARLIER),
        {"0.state": CommandState.SUCCEEDED, "0.exit_code": 0, "0.end_time": EARLIER},
    ),
    (
        events.CommandFinished(command_index=1, state=CommandState.SKIPPED),
        {"1.state": CommandState.SKIPPED},
    ),
    (events.CommandOutput(stream=Stream.STDOUT, command_index=0), {"0.stdout_bytes": 5}),
    (events.CommandOutput(stream=Stream.STDERR, command_index=1), {"1.stderr_bytes": 5}),
    (
        events.CommandOutput(stream=Stream.STDERR, command_index=1, omitted_bytes=100),
        {"1.stderr_bytes": 105, "1.omitted_bytes": 100},
    ),
    (events.CommandOutput(stream=Stream.STDOUT), {}),
    (events.CommandSlow(command_index=0, median=timedelta(seconds=1), run_count=5), {}),
    (events.ImagePullProgress(status="s"), {}),
    (
        events.OutcomeReported(outcome=Outcome.ABANDONED, reason="why", caller=CALLER),
        {"outcome": ReportedOutcome(Outcome.ABANDONED, "why", LATER, CALLER)},
    ),
    (events.ContainerStarted(container_id="c"), {}),
    (events.ContainerRemoved(container_id="c"), {}),
    (events.CancelRequested(reason="why"), {"cancel": RequestedCancel("why", LATER, None)}),
    (
        events.CancelRequested(reason="why", caller=CALLER),
        {"cancel": RequestedCancel("why", LATER, CALLER)},
    ),
    (events.SignalSent(command_index=0, signal=15, reason="late"), {}),
    (events.ReleaseAdopted(), {}),
    (events.EngineReconnected(), {}),
    (events.OutputRealigned(stream=Stream.STDOUT, command_index=0, missing_bytes=3), {}),
    (events.OutputLost(stream=Stream.STDOUT, command_index=0, reason="gone"), {}),
]


@pytest.mark.parametrize(("body", "expected"), CHANGES, ids=lambda value: type(value).__name__)
async def test_record_after_an_event(audit: AuditLog, body: events.Body, expected: dict[str, Any]) -> None:
    """Exactly what the event says, and nothing else."""
    assert await changes(audit, body, output=b"12345") == expected


def test_no_kind_of_event_is_missing_above() -> None:
    """A new kind needs a projection, or a test that it has none."""
    tested = {type(body) for body, _ in CHANGES} | {events.ReleaseAccepted}
    assert tested == set(get_args(events.Body))


async def test_commands_are_known_once_they_are_resolved(audit: AuditLog, tmp_path: Path) -> None:
    """Of a release whose request names none: it has no commands until then."""
    await audit.append("third", accepted(settings=(a_command("own"),)))
    record = await record_of(audit, "third")
    assert (record.commands_known, record.spec.commands, record.commands) == (False, (), ())
    commands = (a_command("declared"), a_command("own"))
    await audit.append("third", events.CommandsResolved(commands=commands))
    record = await record_of(audit, "third")
    assert (record.commands_known, record.spec.commands) == (True, commands)
    assert [command.index for command in record.commands] == [0, 1]
    assert {command.state for command in record.commands} == {CommandState.PENDING}
    assert audit_log.problems_of(tmp_path / "audit.db") == []


async def test_a_release_knows_its_rollback(audit: AuditLog, tmp_path: Path) -> None:
    """By its id; there is one at most."""
    await audit.append("third", accepted("undo", rollback_of=RELEASE))
    assert (await record_of(audit)).rollback == "third"
    assert (await record_of(audit, "third")).rollback == ""
    with pytest.raises(Unavailable, match="UNIQUE"):
        await audit.append("fourth", accepted("undo", rollback_of=RELEASE))
    assert audit_log.problems_of(tmp_path / "audit.db") == []


async def test_the_first_request_to_cancel_counts(audit: AuditLog, tmp_path: Path) -> None:
    """A second one, such as while the daemon starts again, changes nothing; verifying says the same."""
    first, second = events.CancelRequested(reason="first"), events.CancelRequested(reason="second")
    assert await changes(audit, first, second) == {"cancel": RequestedCancel("first", LATER, None)}
    assert audit_log.problems_of(tmp_path / "audit.db") == []


async def test_bytes_add_up_for_each_stream(audit: AuditLog) -> None:
    """Stored and omitted ones."""
    output = events.CommandOutput(stream=Stream.STDOUT, command_index=0)
    after = await changes(
        audit, output, msgspec.structs.replace(output, omitted_bytes=7), output, output=b"12"
    )
    assert after == {"0.stdout_bytes": 13, "0.omitted_bytes": 7}


async def test_release_that_is_not_there(audit: AuditLog) -> None:
    """It is None, and no error."""
    assert await audit.query.release("x") is None
    assert await audit.query.release_of_request(Target("shop", "live"), "x") is None


async def test_release_is_found_by_its_request_id(audit: AuditLog) -> None:
    """Releases without one are not mixed up with each other."""
    request_id = "0190163d-8694-739b-aea5-966c26f8ad91"
    await audit.append("third", accepted(request_id=request_id))
    found = await audit.query.release_of_request(Target("shop", "live"), request_id)
    assert found is not None
    assert found.release_id == "third"
    assert await audit.query.release_of_request(Target("shop", "live"), "") is None


async def test_each_target_has_request_ids_of_its_own(audit: AuditLog) -> None:
    """Nobody finds, or takes beforehand, the ones of a target that is not theirs."""
    request_id = "0190163d-8694-739b-aea5-966c26f8ad91"
    targets = [Target("shop", "live"), Target("shop", "test"), Target("blog", "live")]
    for number, (application, environment) in enumerate(targets):
        spec = {"application": application, "environment": environment}
        await audit.append(f"r{number}", accepted(request_id=request_id, **spec))
    found = [await audit.query.release_of_request(target, request_id) for target in targets]
    assert [record and record.release_id for record in found] == ["r0", "r1", "r2"]
    assert await audit.query.release_of_request(Target("blog", "test"), request_id) is None
    assert (await audit.verify()).problems == []


async def test_unfinished_releases_in_the_order_in_which_they_were_accepted(audit: AuditLog) -> None:
    """Everything that a start of the daemon has to see to, and no more."""
    await audit.append("third", accepted("a"))
    await audit.append("fourth", accepted("a"), events.StateChanged(state=ReleaseState.SUCCEEDED))
    await audit.append(OTHER_RELEASE, events.StateChanged(state=ReleaseState.CANCELLED))
    await audit.append("third", events.StateChanged(state=ReleaseState.RUNNING))
    assert [record.release_id for record in await audit.query.unfinished()] == [RELEASE, "third"]


async def test_list_goes_from_the_newest_to_the_oldest_in_pages(audit: AuditLog) -> None:
    """Each with its own commands."""
    await audit.append("third", accepted("a"))
    await audit.append("fourth", accepted())
    first = await audit_log.listed(audit, limit=3)
    second = await audit_log.listed(audit, after=first[-1][0], limit=3)
    assert [(record.release_id, len(record.commands)) for _, record in (*first, *second)] == [
        ("fourth", 0),
        ("third", 1),
        (OTHER_RELEASE, 2),
        (RELEASE, 2),
    ]


async def test_projection_that_points_at_another_event_is_noticed(audit: AuditLog, tmp_path: Path) -> None:
    """A damaged log does not give a release of nonsense."""
    await audit.append(RELEASE, events.CancelRequested())
    async with audit_log.opened(tmp_path / "audit.db") as another:
        connection = another._writer._connection
        await connection.execute("UPDATE releases SET accept_sequence = 3 WHERE release_id = ?", (RELEASE,))
    with pytest.raises(Unavailable, match="event 3 of the audit log accepts no release"):
        await audit.query.release(RELEASE)
