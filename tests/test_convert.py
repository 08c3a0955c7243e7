"""From the audit log's records and events to the messages of the contract."""

from datetime import timedelta

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration

from released.audit.records import RequestedCancel
from released.model import events
from released.model.release import Likeness, Mount
from released.model.states import (
    Cause,
    CommandState,
    ContainerMode,
    OnBusy,
    PullPolicy,
    ReleaseState,
    Source,
)
from released.service import convert
from releasephase.v1 import release_pb2
from releasephase.v1.release_pb2 import CommandRun, Failure, Release
from support.release_record import ACCEPTED, CALLED_BY, DIGEST, SPEC, STARTED, as_dict, command_record, record
from support.samples import CALLER, RELEASE, a_command, a_spec


def test_accepted_release() -> None:
    """Everything that was asked for, and nothing that has not happened yet."""
    assert as_dict(convert.accepted_message(RELEASE, SPEC)) == ACCEPTED
    called = as_dict(convert.accepted_message(RELEASE, SPEC, CALLER))
    assert called == {**ACCEPTED, "caller": CALLED_BY}


def test_release_of_an_earlier_version_has_no_digests_of_values() -> None:
    """Its names are told all the same."""
    spec = msgspec.structs.replace(SPEC, environment_digests=())
    without = {name: value for name, value in ACCEPTED.items() if name != "environment_digests"}
    assert as_dict(convert.accepted_message(RELEASE, spec)) == without


def test_release_that_is_only_validated_has_no_name() -> None:
    """It is not stored."""
    assert convert.accepted_message("", SPEC).name == ""


def test_release_that_ended() -> None:
    """What was asked for, and all that became of it."""
    assert as_dict(convert.release_message(record(), 0)) == {
        **ACCEPTED,
        "caller": CALLED_BY,
        "state": "STATE_FAILED",
        "failure": {"cause": "CAUSE_COMMAND_FAILED", "message": "it failed", "command_index": 0},
        "command_runs": [
            {
                **ACCEPTED["command_runs"][0],
                "state": "STATE_FAILED",
                "exit_code": 137,
                "signal": 9,
                "start_time": "2026-01-31T12:00:01.123456Z",
                "end_time": "2026-01-31T12:00:02.123456Z",
                "stdout_bytes": "10",
                "stderr_bytes": "20",
                "omitted_bytes": "5",
            },
            {**ACCEPTED["command_runs"][1], "state": "STATE_SKIPPED"},
        ],
        "image_id": "sha256:1",
        "image_digest": "shop@sha256:2",
        "container_id": "c1",
        "container_name": "release-shop-live",
        "last_sequence": "9",
        "receipt": {"sequence": "9", "digest": DIGEST.hex()},
        "engine_version": "20.10.24",
        "outcome": "OUTCOME_ABANDONED",
        "outcome_reason": "too slow",
        "outcome_time": "2026-01-31T13:00:00.123456Z",
        "outcome_caller": CALLED_BY,
        "cancel_reason": "too late",
        "cancel_time": "2026-01-31T12:00:01.123456Z",
        "cancel_caller": CALLED_BY,
        "create_time": "2026-01-31T12:00:00.123456Z",
        "start_time": "2026-01-31T12:00:01.123456Z",
        "end_time": "2026-01-31T12:00:02.123456Z",
    }


def test_release_that_waits() -> None:
    """Its position, and no times that have not come."""
    message = convert.release_message(
        record(
            state=ReleaseState.QUEUED,
            failure=None,
            start_time=None,
            end_time=None,
            receipt=None,
            outcome=None,
            cancel=None,
        ),
        3,
    )
    assert (message.state, message.queue_position) == (Release.STATE_QUEUED, 3)
    assert not any(message.HasField(field) for field in ("failure", "start_time", "end_time", "receipt"))
    assert not any(message.HasField(field) for field in ("outcome_time", "outcome_caller"))
    assert not any(message.HasField(field) for field in ("cancel_time", "cancel_caller"))
    assert message.outcome == release_pb2.OUTCOME_UNSPECIFIED


def test_cancel_of_an_earlier_version_has_no_caller() -> None:
    """It was not asked for; when that was is known."""
    message = convert.release_message(record(cancel=RequestedCancel("", STARTED, None)), 0)
    assert (message.HasField("cancel_time"), message.HasField("cancel_caller")) == (True, False)


def test_release_without_options() -> None:
    """Absent is absent: neither an entrypoint nor a timeout of zero."""
    message = convert.accepted_message(RELEASE, a_spec("true"))
    assert not message.HasField("entrypoint")
    assert not message.HasField("release_timeout")


def test_release_whose_request_names_no_commands() -> None:
    """What it runs comes from elsewhere, and is not known yet, whatever settings there are."""
    message = convert.accepted_message(RELEASE, a_spec(settings=(a_command(),)))
    assert (message.commands_from, len(message.command_runs)) == (release_pb2.COMMANDS_FROM_SETTINGS, 0)


def test_releases_that_have_to_do_with_it() -> None:
    """By their names; what keeps it from running beside others, and whose likeness it has."""
    likeness = Likeness(
        container_id="c1",
        container_name="web",
        environment_names=("A",),
        networks=("backend",),
        mounts=(Mount("/srv", "/data", True),),
        user="app",
    )
    spec = a_spec(retry_of="1", rollback_of="2", lock_groups=("database",), likeness=likeness)
    message = as_dict(convert.release_message(record(spec, commands=(), rollback="3"), 0))
    assert (message["retry_of"], message["rollback_of"], message["rollback"]) == (
        "releases/1",
        "releases/2",
        "releases/3",
    )
    assert message["lock_groups"] == ["database"]
    assert message["likeness"] == {
        "container_id": "c1",
        "container_name": "web",
        "environment_names": ["A"],
        "networks": ["backend"],
        "mounts": [{"source": "/srv", "target": "/data", "read_only": True}],
        "user": "app",
    }


def test_entrypoint_that_was_taken_away() -> None:
    """An empty override is not the same as none."""
    message = convert.accepted_message(RELEASE, a_spec("true", entrypoint=()))
    assert message.HasField("entrypoint")
    assert not message.entrypoint.arguments


@pytest.mark.parametrize(("exit_code", "has"), [(None, False), (0, True), (3, True)])
def test_exit_code_of_0_is_one(exit_code: int | None, has: bool) -> None:
    """None is none that was seen."""
    run = convert.command_message(a_command(), command_record(0, CommandState.FAILED, exit_code=exit_code))
    assert (run.HasField("exit_code"), run.exit_code) == (has, exit_code or 0)


def test_every_state_cause_and_choice_has_its_name_in_the_contract() -> None:
    """The same words, with the prefix of the enumeration."""
    for state in ReleaseState:
        message = convert.release_message(record(state=state), 0)
        assert Release.State.Name(message.state) == f"STATE_{state}"
    for command_state in CommandState:
        run = convert.command_message(a_command(), command_record(0, command_state))
        assert CommandRun.State.Name(run.state) == f"STATE_{command_state}"
    for cause in Cause:
        message = convert.release_message(record(failure=events.Failure(cause=cause, message="m")), 0)
        assert Failure.Cause.Name(message.failure.cause) == f"CAUSE_{cause}"
    for source in Source:
        run = convert.command_message(a_command(source=source), command_record(0))
        assert CommandRun.Source.Name(run.source) == f"SOURCE_{source}"
    for policy in PullPolicy:
        message = convert.accepted_message(RELEASE, a_spec(pull_policy=policy))
        assert release_pb2.PullPolicy.Name(message.pull_policy) == f"PULL_POLICY_{policy}"
    for on_busy in OnBusy:
        message = convert.accepted_message(RELEASE, a_spec(on_busy=on_busy))
        assert release_pb2.OnBusy.Name(message.on_busy) == f"ON_BUSY_{on_busy}"
    for mode in ContainerMode:
        message = convert.accepted_message(RELEASE, a_spec(container_mode=mode))
        assert release_pb2.ContainerMode.Name(message.container_mode) == f"CONTAINER_MODE_{mode}"


def test_durations_are_exact() -> None:
    """Half a second is half a second."""
    run = convert.command_message(a_command(timeout=timedelta(microseconds=1)), command_record(0))
    assert run.timeout == Duration(nanos=1000)
