"""From the audit log's records and events to the messages of the contract."""

from collections.abc import Sequence
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from released.audit.records import CommandRecord, ReleaseRecord
from released.audit.times import as_microseconds
from released.model import events
from released.model.caller import Caller
from released.model.receipt import Receipt
from released.model.release import Command, Likeness, Mount, ReleaseSpec, Resources
from released.model.states import CommandState, Outcome, ReleaseState, Stream
from released.planning import Plan
from releasephase.v1 import release_event_pb2, release_pb2

PREFIX = "releases/"


def release_name(release_id: str) -> str:
    """The resource name of a release."""
    return PREFIX + release_id


def release_message(record: ReleaseRecord, queue_position: int) -> release_pb2.Release:
    """Return a release as it stands; `queue_position` is 0 unless it waits."""
    message = _message(record.release_id, record.spec, record.caller, record.commands)
    message.state = _release_state(record.state)
    if record.failure:
        message.failure.CopyFrom(_failure(record.failure))
    message.image_id = record.image_id
    message.image_digest = record.image_digest
    message.container_id = record.container_id
    message.container_name = record.container_name
    message.engine_version = record.engine_version
    if record.rollback:
        message.rollback = release_name(record.rollback)
    message.queue_position = queue_position
    message.last_sequence = record.last_sequence
    message.create_time.CopyFrom(_timestamp(record.create_time))
    if record.start_time:
        message.start_time.CopyFrom(_timestamp(record.start_time))
    if record.end_time:
        message.end_time.CopyFrom(_timestamp(record.end_time))
    if record.receipt:
        message.receipt.CopyFrom(receipt_message(record.receipt))
    if reported := record.outcome:
        message.outcome = _outcome(reported.outcome)
        message.outcome_reason = reported.reason
        message.outcome_time.CopyFrom(_timestamp(reported.time))
        message.outcome_caller.CopyFrom(caller_message(reported.caller))
    if asked := record.cancel:
        message.cancel_reason = asked.reason
        message.cancel_time.CopyFrom(_timestamp(asked.time))
        if asked.caller:
            message.cancel_caller.CopyFrom(caller_message(asked.caller))
    return message


def receipt_message(receipt: Receipt) -> release_pb2.Receipt:
    """Return a receipt."""
    return release_pb2.Receipt(sequence=receipt.sequence, digest=receipt.digest.hex())


def accepted_message(release_id: str, spec: ReleaseSpec, caller: Caller | None = None) -> release_pb2.Release:
    """Return a release as it is accepted: QUEUED, or with no name for one that is not stored."""
    return _message(release_id, spec, caller, [_pending(index) for index in range(len(spec.commands))])


def _message(
    release_id: str, spec: ReleaseSpec, caller: Caller | None, commands: Sequence[CommandRecord]
) -> release_pb2.Release:
    message = release_pb2.Release(
        name=release_name(release_id) if release_id else "",
        application=spec.application,
        environment=spec.environment,
        image=spec.image,
        state=release_pb2.Release.STATE_QUEUED,
        command_runs=map(command_message, spec.commands, commands),
        environment_names=spec.environment_names,
        # What an earlier version accepted has none.
        environment_digests=dict(zip(spec.environment_names, spec.environment_digests, strict=False)),
        networks=spec.networks,
        mounts=map(_mount, spec.mounts),
        user=spec.user,
        working_dir=spec.working_dir,
        pull_policy=release_pb2.PullPolicy.Value(f"PULL_POLICY_{spec.pull_policy}"),
        on_busy=release_pb2.OnBusy.Value(f"ON_BUSY_{spec.on_busy}"),
        request_id=spec.request_id,
        requested_by=spec.requested_by,
        labels=spec.labels,
        container_mode=release_pb2.ContainerMode.Value(f"CONTAINER_MODE_{spec.container_mode}"),
        commands_from=(
            release_pb2.COMMANDS_FROM_SETTINGS if spec.is_from_settings else release_pb2.COMMANDS_FROM_REQUEST
        ),
        retry_of=release_name(spec.retry_of) if spec.retry_of else "",
        rollback_of=release_name(spec.rollback_of) if spec.rollback_of else "",
        lock_groups=spec.lock_groups,
        likeness=_likeness(spec.likeness) if spec.likeness else None,
        caller=caller_message(caller) if caller else None,
    )
    if spec.resources != Resources():
        message.resources.memory_bytes = spec.resources.memory_bytes
        message.resources.cpus = spec.resources.cpus
        message.resources.pids = spec.resources.pids
    if spec.entrypoint is not None:
        message.entrypoint.arguments.extend(spec.entrypoint)
        message.entrypoint.SetInParent()
    if spec.release_timeout is not None:
        message.release_timeout.FromTimedelta(spec.release_timeout)
    return message


def plan_message(plan: Plan, queue_position: int) -> release_pb2.Release:
    """Return a release as it would be accepted, without a name; one that runs nothing ends at once."""
    message = accepted_message("", plan.spec)
    message.queue_position = queue_position
    message.image_id = plan.image_id
    message.image_digest = plan.image_digest
    message.remarks.extend(plan.remarks)
    if plan.spec.runs_nothing:
        message.state = release_pb2.Release.STATE_SUCCEEDED
    for run, duration in zip(message.command_runs, plan.expected, strict=True):
        if run.skip_reason:
            run.state = release_pb2.CommandRun.STATE_SKIPPED
        elif duration is not None:
            run.expected_duration.FromTimedelta(duration)
    if (expected := plan.expected_duration) is not None:
        message.expected_duration.FromTimedelta(expected)
    return message


def command_message(command: Command, record: CommandRecord) -> release_pb2.CommandRun:
    """Return the record of one command."""
    message = release_pb2.CommandRun(
        index=record.index,
        label=command.label,
        source=release_pb2.CommandRun.Source.Value(f"SOURCE_{command.source}"),
        state=release_pb2.CommandRun.State.Value(f"STATE_{record.state}"),
        exit_code=record.exit_code,
        signal=record.signal,
        stdout_bytes=record.stdout_bytes,
        stderr_bytes=record.stderr_bytes,
        omitted_bytes=record.omitted_bytes,
    )
    if command.line is not None:
        message.line = command.line
    else:
        message.argv.arguments.extend(command.argv or ())
    message.timeout.FromTimedelta(command.timeout)
    message.allow_failure = command.allow_failure
    message.skip_reason = command.skip_reason
    message.rollback = command.rollback
    if record.start_time:
        message.start_time.CopyFrom(_timestamp(record.start_time))
    if record.end_time:
        message.end_time.CopyFrom(_timestamp(record.end_time))
    return message


def event_message(event: events.Event, record: ReleaseRecord) -> release_event_pb2.ReleaseEvent:
    """Return an event. `record` is its release, not older than the event."""
    message = release_event_pb2.ReleaseEvent(
        sequence=event.sequence,
        release=release_name(event.release_id),
        event_time=_timestamp(event.time),
    )
    match event.body:
        case events.ReleaseAccepted(spec=spec, caller=caller):
            message.accepted.release.CopyFrom(accepted_message(event.release_id, spec, caller))
        case events.StateChanged(state=state, failure=failure):
            message.state_changed.state = _release_state(state)
            if failure:
                message.state_changed.failure.CopyFrom(_failure(failure))
            if state.is_terminal:
                receipt = Receipt(event.sequence, event.digest)
                message.state_changed.receipt.CopyFrom(receipt_message(receipt))
        case events.ImagePullProgress() as progress:
            message.image_pull_progress.status = progress.status
            message.image_pull_progress.layers = progress.layers
            message.image_pull_progress.layers_done = progress.layers_done
            message.image_pull_progress.downloaded_bytes = progress.downloaded_bytes
            message.image_pull_progress.total_bytes = progress.total_bytes
        case events.ImageResolved(image_id=image_id, image_digest=digest, pulled=pulled):
            message.image_resolved.image_id = image_id
            message.image_resolved.image_digest = digest
            message.image_resolved.pulled = pulled
        case events.CommandsResolved(commands=commands):
            runs = (command_message(command, _pending(index)) for index, command in enumerate(commands))
            message.commands_resolved.command_runs.extend(runs)
        case events.ContainerCreated() as created:
            message.container_created.container_id = created.container_id
            message.container_created.container_name = created.container_name
            message.container_created.engine_version = created.engine_version
        case events.ContainerStarted(container_id=container_id):
            message.container_started.container_id = container_id
        case events.ContainerRemoved(container_id=container_id):
            message.container_removed.container_id = container_id
        case events.CommandStarted(command_index=index):
            message.command_started.command_index = index
            message.command_started.label = record.spec.commands[index].label
        case events.CommandSlow(command_index=index, median=median, run_count=count):
            message.command_slow.command_index = index
            message.command_slow.median.FromTimedelta(median)
            message.command_slow.run_count = count
        case events.CommandOutput() as output:
            message.command_output.CopyFrom(_output(output, event.output or b"", event.pruned_bytes))
        case events.CommandFinished() as finished:
            message.command_finished.command_run.CopyFrom(_finished(finished, record))
        case events.CancelRequested(reason=reason, caller=caller):
            message.cancel_requested.CopyFrom(
                release_event_pb2.CancelRequested(
                    reason=reason, caller=caller_message(caller) if caller else None
                )
            )
        case events.OutcomeReported(outcome=outcome, reason=reason, caller=caller):
            message.outcome_reported.CopyFrom(
                release_event_pb2.OutcomeReported(
                    outcome=_outcome(outcome), reason=reason, caller=caller_message(caller)
                )
            )
        case events.SignalSent(command_index=index, signal=signal, reason=reason):
            message.signal_sent.command_index = index
            message.signal_sent.signal = signal
            message.signal_sent.reason = reason
        case events.ReleaseAdopted():
            message.release_adopted.SetInParent()
        case events.EngineReconnected():
            message.engine_reconnected.SetInParent()
        case events.OutputRealigned() as realigned:
            message.output_realigned.CopyFrom(_realigned(realigned))
        case events.OutputLost() as lost:
            message.output_lost.CopyFrom(_lost(lost))
    return message


def _finished(finished: events.CommandFinished, record: ReleaseRecord) -> release_pb2.CommandRun:
    """Return the record of a command that ended, or all that is known of it."""
    index = finished.command_index
    if index < len(record.commands):
        return command_message(record.spec.commands[index], record.commands[index])
    # On a full disk, earlier versions stored that commands were skipped, and not which they were.
    state = release_pb2.CommandRun.State.Value(f"STATE_{finished.state}")
    return release_pb2.CommandRun(index=index, state=state)


def progress_notice(
    record: ReleaseRecord, sequence: int, queue_position: int
) -> release_event_pb2.ReleaseEvent:
    """Return a sign of life for a stream on which nothing happens."""
    message = release_event_pb2.ReleaseEvent(sequence=sequence, release=release_name(record.release_id))
    message.event_time.GetCurrentTime()
    message.progress_notice.state = _release_state(record.state)
    message.progress_notice.queue_position = queue_position
    for command in record.commands:
        if command.state is CommandState.RUNNING:
            message.progress_notice.command_index = command.index
    return message


def caller_message(caller: Caller) -> release_pb2.Caller:
    """Return who called, as the kernel says."""
    return release_pb2.Caller(
        uid=caller.uid,
        gid=caller.gid,
        pid=caller.pid,
        groups=caller.groups,
        user=caller.user,
        executable=caller.executable,
    )


def _output(output: events.CommandOutput, data: bytes, pruned_bytes: int) -> release_event_pb2.CommandOutput:
    return release_event_pb2.CommandOutput(
        command_index=output.command_index,
        stream=_stream(output.stream),
        data=data,
        omitted_bytes=output.omitted_bytes,
        pruned_bytes=pruned_bytes,
    )


def _realigned(realigned: events.OutputRealigned) -> release_event_pb2.OutputRealigned:
    return release_event_pb2.OutputRealigned(
        command_index=realigned.command_index,
        stream=_stream(realigned.stream),
        missing_bytes=realigned.missing_bytes,
        altered_bytes=realigned.altered_bytes,
    )


def _lost(lost: events.OutputLost) -> release_event_pb2.OutputLost:
    return release_event_pb2.OutputLost(
        command_index=lost.command_index, stream=_stream(lost.stream), reason=lost.reason
    )


def _stream(stream: Stream) -> release_event_pb2.CommandOutput.Stream.ValueType:
    return release_event_pb2.CommandOutput.Stream.Value(f"STREAM_{stream}")


def _mount(mount: Mount) -> release_pb2.Mount:
    return release_pb2.Mount(source=mount.source, target=mount.target, read_only=mount.read_only)


def _likeness(likeness: Likeness) -> release_pb2.Likeness:
    return release_pb2.Likeness(
        container_id=likeness.container_id,
        container_name=likeness.container_name,
        environment_names=likeness.environment_names,
        networks=likeness.networks,
        mounts=map(_mount, likeness.mounts),
        user=likeness.user,
    )


def _pending(index: int) -> CommandRecord:
    return CommandRecord(
        index=index,
        state=CommandState.PENDING,
        exit_code=None,
        signal=0,
        start_time=None,
        end_time=None,
        stdout_bytes=0,
        stderr_bytes=0,
        omitted_bytes=0,
    )


def _release_state(state: ReleaseState) -> release_pb2.Release.State.ValueType:
    return release_pb2.Release.State.Value(f"STATE_{state}")


def _outcome(outcome: Outcome) -> release_pb2.Outcome.ValueType:
    return release_pb2.Outcome.Value(f"OUTCOME_{outcome}")


def _failure(failure: events.Failure) -> release_pb2.Failure:
    return release_pb2.Failure(
        cause=release_pb2.Failure.Cause.Value(f"CAUSE_{failure.cause}"),
        message=failure.message,
        command_index=failure.command_index,
    )


def _timestamp(time: datetime) -> Timestamp:
    seconds, microseconds = divmod(as_microseconds(time), 1_000_000)
    return Timestamp(seconds=seconds, nanos=microseconds * 1000)
