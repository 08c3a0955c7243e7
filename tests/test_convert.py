"""From the audit log's records and events to the messages of the contract."""

from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import msgspec
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict

from released.audit.records import CommandRecord, ReleaseRecord, ReportedOutcome, RequestedCancel
from released.model import events
from released.model.receipt import Receipt
from released.model.release import Mount, ReleaseSpec, Resources
from released.model.states import (
    Cause,
    CommandState,
    ContainerMode,
    OnBusy,
    Outcome,
    PullPolicy,
    ReleaseState,
    Source,
    Stream,
)
from released.service import convert
from releasephase.v1 import release_pb2
from releasephase.v1.release_event_pb2 import CommandOutput, ReleaseEvent
from releasephase.v1.release_pb2 import CommandRun, Failure, Release
from support.samples import CALLER, RELEASE, a_command, a_spec

NAME = f"releases/{RELEASE}"
DIGEST = bytes(range(32))
CREATED = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
STARTED = CREATED + timedelta(seconds=1)
ENDED = CREATED + timedelta(seconds=2)
REPORTED = CREATED + timedelta(hours=1)

SPEC = a_spec(
    commands=(
        a_command("migrate", line="migrate", timeout=timedelta(seconds=1.5)),
        a_command("check", argv=("check", "--deploy")),
    ),
    environment_names=("A", "B"),
    environment_digests=("0a", "0b"),
    networks=("backend",),
    mounts=(Mount("/srv", "/data", True),),
    resources=Resources(64 * 2**20, 1.5, 100),
    user="app",
    working_dir="/srv/app",
    entrypoint=("/entry",),
    pull_policy=PullPolicy.NEVER,
    release_timeout=timedelta(minutes=10),
    on_busy=OnBusy.REJECT,
    request_id="0190163d-8694-739b-aea5-966c26f8ad91",
    requested_by="agent 7",
    labels={"team": "a"},
    container_mode=ContainerMode.PER_COMMAND,
)


def command_record(index: int, state: CommandState = CommandState.PENDING, **fields: Any) -> CommandRecord:
    defaults = {
        "exit_code": None,
        "signal": 0,
        "start_time": None,
        "end_time": None,
        "stdout_bytes": 0,
        "stderr_bytes": 0,
        "omitted_bytes": 0,
    }
    return CommandRecord(index=index, state=state, **{**defaults, **fields})


FAILED_COMMAND = command_record(
    0,
    CommandState.FAILED,
    exit_code=137,
    signal=9,
    start_time=STARTED,
    end_time=ENDED,
    stdout_bytes=10,
    stderr_bytes=20,
    omitted_bytes=5,
)


def record(spec: ReleaseSpec = SPEC, **fields: Any) -> ReleaseRecord:
    defaults = {
        "release_id": RELEASE,
        "accept_sequence": 3,
        "last_sequence": 9,
        "caller": CALLER,
        "request_digest": "d",
        "with_secrets": True,
        "accepted_at": None,
        "state": ReleaseState.FAILED,
        "failure": events.Failure(cause=Cause.COMMAND_FAILED, message="it failed", command_index=0),
        "image_id": "sha256:1",
        "image_digest": "shop@sha256:2",
        "container_id": "c1",
        "container_name": "release-shop-live",
        "create_time": CREATED,
        "start_time": STARTED,
        "end_time": ENDED,
        "receipt": Receipt(9, DIGEST),
        "engine_version": "20.10.24",
        "outcome": ReportedOutcome(Outcome.ABANDONED, "too slow", REPORTED, CALLER),
        "cancel": RequestedCancel("too late", STARTED, CALLER),
        "commands": (FAILED_COMMAND, command_record(1, CommandState.SKIPPED)),
    }
    return ReleaseRecord(spec=spec, **{**defaults, **fields})


ACCEPTED: dict[str, Any] = {
    "name": NAME,
    "application": "shop",
    "environment": "live",
    "image": "shop:2",
    "state": "STATE_QUEUED",
    "command_runs": [
        {
            "label": "migrate",
            "line": "migrate",
            "timeout": "1.500s",
            "source": "SOURCE_REQUEST",
            "state": "STATE_PENDING",
        },
        {
            "index": 1,
            "label": "check",
            "argv": {"arguments": ["check", "--deploy"]},
            "timeout": "60s",
            "source": "SOURCE_REQUEST",
            "state": "STATE_PENDING",
        },
    ],
    "environment_names": ["A", "B"],
    "environment_digests": {"A": "0a", "B": "0b"},
    "networks": ["backend"],
    "mounts": [{"source": "/srv", "target": "/data", "read_only": True}],
    "resources": {"memory_bytes": str(64 * 2**20), "cpus": 1.5, "pids": "100"},
    "user": "app",
    "working_dir": "/srv/app",
    "entrypoint": {"arguments": ["/entry"]},
    "pull_policy": "PULL_POLICY_NEVER",
    "release_timeout": "600s",
    "on_busy": "ON_BUSY_REJECT",
    "request_id": "0190163d-8694-739b-aea5-966c26f8ad91",
    "requested_by": "agent 7",
    "labels": {"team": "a"},
    "container_mode": "CONTAINER_MODE_PER_COMMAND",
}

CALLED_BY = {
    "uid": 1000,
    "gid": 100,
    "pid": 4711,
    "groups": [24, 100],
    "user": "ci",
    "executable": "/usr/bin/agent",
}


def as_dict(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


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


def event(body: events.Body, output: bytes | None = None, pruned_bytes: int = 0) -> ReleaseEvent:
    event = events.Event(7, RELEASE, CREATED, body, output, DIGEST, pruned_bytes)
    return convert.event_message(event, record())


EVENTS: list[tuple[events.Body, str, dict[str, Any]]] = [
    (events.ReleaseAccepted(spec=SPEC), "accepted", {"release": ACCEPTED}),
    (
        events.ReleaseAccepted(spec=SPEC, caller=CALLER),
        "accepted",
        {"release": {**ACCEPTED, "caller": CALLED_BY}},
    ),
    (events.StateChanged(state=ReleaseState.RUNNING), "state_changed", {"state": "STATE_RUNNING"}),
    (
        events.StateChanged(
            state=ReleaseState.FAILED, failure=events.Failure(cause=Cause.ENGINE_LOST, message="gone")
        ),
        "state_changed",
        {
            "state": "STATE_FAILED",
            "failure": {"cause": "CAUSE_ENGINE_LOST", "message": "gone"},
            "receipt": {"sequence": "7", "digest": DIGEST.hex()},
        },
    ),
    (
        events.ImagePullProgress(status="s", layers=3, layers_done=1, downloaded_bytes=10, total_bytes=20),
        "image_pull_progress",
        {"status": "s", "layers": 3, "layers_done": 1, "downloaded_bytes": "10", "total_bytes": "20"},
    ),
    (
        events.ImageResolved(image_id="i", image_digest="d", pulled=True),
        "image_resolved",
        {"image_id": "i", "image_digest": "d", "pulled": True},
    ),
    (
        events.ContainerCreated(container_id="c", container_name="n", engine_version="1"),
        "container_created",
        {"container_id": "c", "container_name": "n", "engine_version": "1"},
    ),
    (events.ContainerStarted(container_id="c"), "container_started", {"container_id": "c"}),
    (events.ContainerRemoved(container_id="c"), "container_removed", {"container_id": "c"}),
    (events.CommandStarted(command_index=1), "command_started", {"command_index": 1, "label": "check"}),
    (
        events.CommandSlow(command_index=1, median=timedelta(seconds=1.5), run_count=7),
        "command_slow",
        {"command_index": 1, "median": "1.500s", "run_count": 7},
    ),
    (
        events.CommandOutput(stream=Stream.STDERR, command_index=0, omitted_bytes=4),
        "command_output",
        {"command_index": 0, "stream": "STREAM_STDERR", "data": "AP8=", "omitted_bytes": "4"},
    ),
    (
        events.CommandFinished(command_index=0, state=CommandState.FAILED),
        "command_finished",
        {"command_run": as_dict(convert.command_message(SPEC.commands[0], FAILED_COMMAND))},
    ),
    (events.CancelRequested(reason="why"), "cancel_requested", {"reason": "why"}),
    (
        events.CancelRequested(reason="why", caller=CALLER),
        "cancel_requested",
        {"reason": "why", "caller": CALLED_BY},
    ),
    (
        events.OutcomeReported(outcome=Outcome.DEPLOYED, reason="why", caller=CALLER),
        "outcome_reported",
        {"outcome": "OUTCOME_DEPLOYED", "reason": "why", "caller": CALLED_BY},
    ),
    (
        events.SignalSent(command_index=0, signal=15, reason="late"),
        "signal_sent",
        {"command_index": 0, "signal": 15, "reason": "late"},
    ),
    (events.ReleaseAdopted(), "release_adopted", {}),
    (events.EngineReconnected(), "engine_reconnected", {}),
    (
        events.OutputRealigned(stream=Stream.STDERR, command_index=1, missing_bytes=3, altered_bytes=4),
        "output_realigned",
        {"command_index": 1, "stream": "STREAM_STDERR", "missing_bytes": "3", "altered_bytes": "4"},
    ),
    (
        events.OutputLost(stream=Stream.STDOUT, reason="rotated"),
        "output_lost",
        {"stream": "STREAM_STDOUT", "reason": "rotated"},
    ),
]


@pytest.mark.parametrize(("body", "payload", "content"), EVENTS)
def test_events(body: events.Body, payload: str, content: dict[str, Any]) -> None:
    """Each with its sequence, its release and its time."""
    output = b"\0\xff" if isinstance(body, events.CommandOutput) else None
    message = as_dict(event(body, output))
    if payload == "signal_sent":
        message[payload].setdefault("command_index", 0)
    assert message == {
        "sequence": "7",
        "release": NAME,
        "event_time": "2026-01-31T12:00:00.123456Z",
        payload: content,
    }


def test_output_that_retention_has_removed() -> None:
    """There are no bytes, and how many there were."""
    body = events.CommandOutput(stream=Stream.STDOUT, command_index=0)
    pruned = as_dict(event(body, None, pruned_bytes=5))["command_output"]
    assert pruned == {"command_index": 0, "stream": "STREAM_STDOUT", "pruned_bytes": "5"}


def test_no_kind_of_event_is_missing_above() -> None:
    """A new kind needs a conversion."""
    assert {type(body) for body, _, _ in EVENTS} == set(get_args(events.Body))


@pytest.mark.parametrize(
    "body",
    [
        events.CancelRequested(),
        events.ImagePullProgress(status=""),
        events.ImageResolved(image_id=""),
        events.ContainerRemoved(container_id=""),
        events.CommandOutput(stream=Stream.STDOUT),
        events.ReleaseAdopted(),
        events.EngineReconnected(),
    ],
)
def test_event_that_says_nothing_still_has_its_kind(body: events.Body) -> None:
    """A watcher is told what happened even if there is no more to say."""
    assert event(body).WhichOneof("payload") is not None


def test_output_outside_of_every_command_has_no_index() -> None:
    """It is the entrypoint's own, say."""
    output = event(events.CommandOutput(stream=Stream.STDOUT), b"hello").command_output
    assert not output.HasField("command_index")
    assert (output.stream, output.data) == (CommandOutput.STREAM_STDOUT, b"hello")


def test_progress_notice_tells_where_the_release_stands() -> None:
    """Which command runs, if one does; it repeats the last sequence."""
    commands = (command_record(0, CommandState.SUCCEEDED), command_record(1, CommandState.RUNNING))
    running = convert.progress_notice(record(state=ReleaseState.RUNNING, commands=commands), 8, 0)
    assert (running.sequence, running.release) == (8, NAME)
    assert as_dict(running.progress_notice) == {"state": "STATE_RUNNING", "command_index": 1}
    assert running.HasField("event_time")


def test_progress_notice_of_a_release_that_waits() -> None:
    """Its position, and no command."""
    commands = (command_record(0), command_record(1))
    waiting = convert.progress_notice(record(state=ReleaseState.QUEUED, commands=commands), 3, 2)
    assert as_dict(waiting.progress_notice) == {"state": "STATE_QUEUED", "queue_position": 2}


def test_durations_are_exact() -> None:
    """Half a second is half a second."""
    run = convert.command_message(a_command(timeout=timedelta(microseconds=1)), command_record(0))
    assert run.timeout == Duration(nanos=1000)
