"""Tells the story of one release, event by event, as the daemon would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp

from releasephase.v1.audit_service_pb2 import AuditEvent, ListEventsResponse
from releasephase.v1.release_event_pb2 import (
    CancelRequested,
    CommandFinished,
    CommandOutput,
    CommandSlow,
    CommandsResolved,
    CommandStarted,
    ContainerCreated,
    EngineReconnected,
    ImagePullProgress,
    ImageResolved,
    OutputLost,
    OutputRealigned,
    ProgressNotice,
    ReleaseAccepted,
    ReleaseAdopted,
    ReleaseEvent,
    SignalSent,
    StateChanged,
)
from releasephase.v1.release_pb2 import COMMANDS_FROM_SETTINGS, CommandRun, Failure, Release

NAME = "releases/01939d3b-7e4a-7cc3-98c4-dc0c0c07398f"
_OUTPUT = ("command_output", "output_lost", "output_realigned")
BEGIN = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


class Story:
    """Makes the events of a release; each comes a second and three sequences after the one before.

    Args:
        labels: Those of its commands.
        begin: When it was accepted.
    """

    def __init__(self, *labels: str, begin: datetime = BEGIN) -> None:
        self.sequence = 0
        self.time = begin
        self.release = Release(
            name=NAME,
            application="shop",
            environment="live",
            image="registry.example/shop:42",
            state=Release.STATE_QUEUED,
            command_runs=_runs(labels, CommandRun.SOURCE_REQUEST),
            create_time=timestamp(begin),
        )

    @classmethod
    def of_settings(cls) -> Story:
        """Begin the story of a release whose commands are not known before its image is there."""
        story = cls()
        story.release.commands_from = COMMANDS_FROM_SETTINGS
        return story

    def commands_resolved(self, *labels: str, **skip_reasons: str) -> ReleaseEvent:
        """Let it be known what it runs: the first command from its image, the others from settings."""
        runs = _runs(labels, CommandRun.SOURCE_SETTINGS)
        for run in runs:
            run.skip_reason = skip_reasons.get(run.label, "")
        for run in runs[:1]:
            run.source = CommandRun.SOURCE_IMAGE
        self.release.command_runs.extend(runs)
        return self._event(commands_resolved=CommandsResolved(command_runs=runs))

    def accepted(self, queue_position: int = 0) -> ReleaseEvent:
        self.release.queue_position = queue_position
        return self._event(accepted=ReleaseAccepted(release=self.release))

    def preparing(self) -> ReleaseEvent:
        return self._event(state_changed=StateChanged(state=Release.STATE_PREPARING))

    def running(self) -> ReleaseEvent:
        return self._event(state_changed=StateChanged(state=Release.STATE_RUNNING))

    def pulling(self, layers_done: int, downloaded_bytes: int) -> ReleaseEvent:
        progress = ImagePullProgress(
            status="Downloading",
            layers=5,
            layers_done=layers_done,
            downloaded_bytes=downloaded_bytes,
            total_bytes=50 * 2**20,
        )
        return self._event(image_pull_progress=progress)

    def resolved(self, *, pulled: bool = False) -> ReleaseEvent:
        return self._event(
            image_resolved=ImageResolved(
                image_id="sha256:1234", image_digest="registry.example/shop@sha256:5678", pulled=pulled
            )
        )

    def created(self) -> ReleaseEvent:
        return self._event(
            container_created=ContainerCreated(container_id="c0ffee", container_name="shop-live-398f")
        )

    def started(self, index: int) -> ReleaseEvent:
        return self._event(
            command_started=CommandStarted(command_index=index, label=self.release.command_runs[index].label)
        )

    def slow(self, index: int, median: float) -> ReleaseEvent:
        length = Duration()
        length.FromNanoseconds(round(median * 1e9))
        return self._event(command_slow=CommandSlow(command_index=index, median=length, run_count=5))

    def output(
        self, index: int | None, data: bytes, *, stderr: bool = False, omitted_bytes: int = 0
    ) -> ReleaseEvent:
        output = CommandOutput(
            command_index=index,
            stream=_stream(stderr=stderr),
            data=data,
            omitted_bytes=omitted_bytes,
        )
        return self._event(command_output=output)

    def pruned(self, index: int | None, pruned_bytes: int, *, stderr: bool = False) -> ReleaseEvent:
        """Return output that retention has removed."""
        output = CommandOutput(command_index=index, stream=_stream(stderr=stderr), pruned_bytes=pruned_bytes)
        return self._event(command_output=output)

    def finished(
        self, index: int, state: str = "SUCCEEDED", exit_code: int | None = 0, signal: int = 0
    ) -> ReleaseEvent:
        run = self.release.command_runs[index]
        run.state = CommandRun.State.Value(f"STATE_{state}")
        run.signal = signal
        if exit_code is not None:
            run.exit_code = exit_code
        return self._event(command_finished=CommandFinished(command_run=run))

    def skipped(self, index: int) -> ReleaseEvent:
        return self.finished(index, "SKIPPED", exit_code=None)

    def cancel_requested(self, reason: str = "") -> ReleaseEvent:
        return self._event(cancel_requested=CancelRequested(reason=reason))

    def signal_sent(self, index: int, signal: int, reason: str = "") -> ReleaseEvent:
        return self._event(signal_sent=SignalSent(command_index=index, signal=signal, reason=reason))

    def adopted(self) -> ReleaseEvent:
        return self._event(release_adopted=ReleaseAdopted())

    def reconnected(self) -> ReleaseEvent:
        return self._event(engine_reconnected=EngineReconnected())

    def lost(self, index: int | None, reason: str, *, stderr: bool = False) -> ReleaseEvent:
        return self._event(
            output_lost=OutputLost(command_index=index, stream=_stream(stderr=stderr), reason=reason)
        )

    def realigned(
        self, index: int | None, missing_bytes: int = 0, altered_bytes: int = 0, *, stderr: bool = False
    ) -> ReleaseEvent:
        realigned = OutputRealigned(
            command_index=index,
            stream=_stream(stderr=stderr),
            missing_bytes=missing_bytes,
            altered_bytes=altered_bytes,
        )
        return self._event(output_realigned=realigned)

    def notice(self, state: str, queue_position: int = 0) -> ReleaseEvent:
        """Return a sign of life; it repeats the last sequence."""
        notice = ProgressNotice(state=Release.State.Value(f"STATE_{state}"), queue_position=queue_position)
        return ReleaseEvent(sequence=self.sequence, release=NAME, progress_notice=notice)

    def succeeded(self) -> ReleaseEvent:
        return self._end(StateChanged(state=Release.STATE_SUCCEEDED))

    def cancelled(self) -> ReleaseEvent:
        return self._end(StateChanged(state=Release.STATE_CANCELLED))

    def failed(self, message: str, index: int | None = None, cause: str = "COMMAND_FAILED") -> ReleaseEvent:
        failure = Failure(cause=Failure.Cause.Value(f"CAUSE_{cause}"), message=message, command_index=index)
        self.release.failure.CopyFrom(failure)
        return self._end(StateChanged(state=Release.STATE_FAILED, failure=failure))

    def _end(self, end: StateChanged) -> ReleaseEvent:
        event = self._event(state_changed=end)
        self.release.state = end.state
        self.release.last_sequence = event.sequence
        self.release.end_time.CopyFrom(event.event_time)
        return event

    def _event(self, **payload: object) -> ReleaseEvent:
        self.sequence += 3
        self.time += timedelta(seconds=1)
        return ReleaseEvent(
            sequence=self.sequence,
            release=NAME,
            event_time=timestamp(self.time),
            **payload,  # type: ignore[arg-type]
        )


def _runs(labels: Sequence[str], source: CommandRun.Source.ValueType) -> list[CommandRun]:
    return [
        CommandRun(
            index=index,
            label=label,
            line=f"./{label}",
            timeout=Duration(seconds=1800),
            state=CommandRun.STATE_PENDING,
            source=source,
        )
        for index, label in enumerate(labels)
    ]


def _stream(*, stderr: bool) -> CommandOutput.Stream.ValueType:
    return CommandOutput.STREAM_STDERR if stderr else CommandOutput.STREAM_STDOUT


def timestamp(time: datetime) -> Timestamp:
    """Return the protobuf timestamp of a time."""
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def a_success() -> tuple[Story, Sequence[ReleaseEvent]]:
    """Return the story of a release of two commands that succeeds."""
    story = Story("migrate", "check")
    return story, [
        story.accepted(),
        story.preparing(),
        story.resolved(),
        story.created(),
        story.running(),
        story.started(0),
        story.output(0, b"Applying 0001_initial... OK\n"),
        story.finished(0),
        story.started(1),
        story.output(1, b"no issues\n"),
        story.finished(1),
        story.succeeded(),
    ]


def a_failure() -> tuple[Story, Sequence[ReleaseEvent]]:
    """Return the story of a release whose first of two commands fails."""
    story = Story("migrate", "check")
    return story, [
        story.accepted(),
        story.preparing(),
        story.running(),
        story.started(0),
        story.output(0, b"Traceback\n", stderr=True),
        story.finished(0, "FAILED", exit_code=1),
        story.skipped(1),
        story.failed("Exit code 1.", 0),
    ]


def newest_first(events: Sequence[ReleaseEvent]) -> ListEventsResponse:
    """Return what of these events tells of output, as the audit log stores it, in one page."""
    stored = [_stored(event) for event in reversed(events) if event.WhichOneof("payload") in _OUTPUT]
    return ListEventsResponse(events=stored)


def _stored(event: ReleaseEvent) -> AuditEvent:
    kind = str(event.WhichOneof("payload"))
    body = MessageToDict(getattr(event, kind), preserving_proto_field_name=True)
    body["stream"] = body["stream"].removeprefix("STREAM_")
    body.pop("data", None)
    output = event.command_output.data if kind == "command_output" else None
    return AuditEvent(
        sequence=event.sequence,
        release=event.release,
        event_time=event.event_time,
        kind=kind,
        body=json.dumps(body | {"kind": kind}),
        output_bytes=None if output is None else len(output),
        output=output,
    )
