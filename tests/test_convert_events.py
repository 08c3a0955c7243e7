"""From the events of the audit log to those of the contract, and progress notices."""

from datetime import timedelta
from typing import Any, get_args

import pytest

from released.model import events
from released.model.states import (
    Cause,
    CommandState,
    Outcome,
    ReleaseState,
    Source,
    Stream,
)
from released.service import convert
from releasephase.v1.release_event_pb2 import CommandOutput, ReleaseEvent
from support.release_record import (
    ACCEPTED,
    CALLED_BY,
    CREATED,
    DIGEST,
    FAILED_COMMAND,
    NAME,
    SPEC,
    as_dict,
    command_record,
    record,
)
from support.samples import CALLER, RELEASE, a_command


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
        events.CommandsResolved(
            commands=(
                a_command("declared", source=Source.IMAGE, allow_failure=True, rollback="undo"),
                a_command("own", source=Source.SETTINGS, skip_reason="not today"),
            )
        ),
        "commands_resolved",
        {
            "command_runs": [
                {
                    "label": "declared",
                    "line": "true",
                    "timeout": "60s",
                    "source": "SOURCE_IMAGE",
                    "state": "STATE_PENDING",
                    "allow_failure": True,
                    "rollback": "undo",
                },
                {
                    "index": 1,
                    "label": "own",
                    "line": "true",
                    "timeout": "60s",
                    "source": "SOURCE_SETTINGS",
                    "state": "STATE_PENDING",
                    "skip_reason": "not today",
                },
            ]
        },
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
    (
        events.CommandFinished(command_index=2, state=CommandState.SKIPPED),  # there are two
        "command_finished",
        {"command_run": {"index": 2, "state": "STATE_SKIPPED"}},
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
