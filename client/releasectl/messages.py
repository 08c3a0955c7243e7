"""What a person is told of a release beside its log, or of a drain: where it stands, what it waits for."""

from __future__ import annotations

from collections.abc import Sequence

from releasephase.v1.audit_service_pb2 import VerifyAuditResponse
from releasephase.v1.daemon_service_pb2 import DrainProgress
from releasephase.v1.release_event_pb2 import (
    CancelRequested,
    CommandSlow,
    ImagePullProgress,
    ImageResolved,
    ReleaseEvent,
    SignalSent,
    StateChanged,
)
from releasephase.v1.release_pb2 import CommandRun, Release

from . import formatting
from .words import NO_COMMAND_RUNS, seconds, source_name


class Messages:
    """Turns the events of one release, from its first on, into messages of one line."""

    def __init__(self) -> None:
        self._release = Release()
        self._runs: Sequence[CommandRun] = ()
        self._queue_position = 0
        self._pull = ""

    def of(self, event: ReleaseEvent) -> str | None:
        """Return the message for an event, None for one that is not worth one."""
        match event.WhichOneof("payload"):
            case "accepted":
                self._release = event.accepted.release
                self._runs = event.accepted.release.command_runs
                return f"accepted as {event.release}"
            case "state_changed":
                return self._state(event.state_changed)
            case "progress_notice":
                return self._queued(event.progress_notice.queue_position)
            case "image_pull_progress":
                return self._pulling(event.image_pull_progress)
            case "image_resolved":
                return self._resolved(event.image_resolved)
            case "commands_resolved":
                self._runs = event.commands_resolved.command_runs
                return self._commands()
            case "container_created":
                return f"created container {event.container_created.container_name}"
            case "cancel_requested":
                return _cancelled(event.cancel_requested)
            case "command_slow":
                return self._slow(event.command_slow)
            case "signal_sent":
                return self._signalled(event.signal_sent)
            case "release_adopted":
                return "the daemon was started again and goes on with the release"
            case "engine_reconnected":
                return "the engine was away and is back; the release goes on"
        return None

    def _state(self, change: StateChanged) -> str:
        name = Release.State.Name(change.state).removeprefix("STATE_").lower()
        if change.HasField("receipt"):
            name += f" (receipt {formatting.receipt(change.receipt)})"
        return f"{name}: {change.failure.message}" if change.HasField("failure") else name

    def _queued(self, position: int) -> str | None:
        if not position or position == self._queue_position:
            return None
        self._queue_position = position
        return f"queued, position {position}"

    def _pulling(self, progress: ImagePullProgress) -> str | None:
        # Bytes change all the time; on a pipe a line for each layer is enough.
        layers = f", {progress.layers_done} of {progress.layers} layers" if progress.layers else ""
        if (message := f"pulling {self._release.image}{layers}") == self._pull:
            return None
        self._pull = message
        return message

    def _resolved(self, image: ImageResolved) -> str:
        verb = "pulled" if image.pulled else "found"
        # An image that never was in a registry has no digest.
        which = f"digest {image.image_digest}" if image.image_digest else f"image id {image.image_id}"
        return f"{verb} {self._release.image} ({which})"

    def _commands(self) -> str:
        if not self._runs:
            return f"nothing to run: {NO_COMMAND_RUNS}"
        return f"commands: {', '.join(map(_command, self._runs))}"

    def _slow(self, slow: CommandSlow) -> str:
        median = formatting.duration(seconds(slow.median))
        return f"{self._label(slow.command_index)} is slow: it has taken four times its median of {median}"

    def _label(self, index: int) -> str:
        return self._runs[index].label if index < len(self._runs) else "the command"

    def _signalled(self, sent: SignalSent) -> str:
        label = self._label(sent.command_index)
        reason = f": {sent.reason}" if sent.reason else ""
        return f"sent {formatting.signal_name(sent.signal)} to {label}{reason}"


def _command(run: CommandRun) -> str:
    skipped = ", to be skipped" if run.skip_reason else ""
    return f"{run.label} ({source_name(run).lower()}{skipped})"


def _cancelled(request: CancelRequested) -> str:
    caller = f" by {formatting.caller_name(request.caller)}" if request.HasField("caller") else ""
    reason = f": {request.reason}" if request.reason else ""
    return f"cancel requested{caller}{reason}"


def unreachable_message(names: Sequence[str]) -> str:
    """Return that a list lacks releases, and which, as far as their names are known."""
    known = [name for name in names if name != "releases/-"]
    which = f" ({', '.join(known)})" if known else ""
    left_out = formatting.plural(len(names), "release")
    return (
        f"the audit log is damaged, see `releasectl audit verify`; unreadable and left out: {left_out}{which}"
    )


def extent_text(found: VerifyAuditResponse) -> str:
    """Return what an export has of its log: which events, and the output of which."""
    extent, events = found.extent, formatting.span(found.extent.first_sequence, found.head.sequence)
    if not extent.missing_output_count:
        return events
    if not extent.output_count:
        return f"{events}, without output"
    if extent.output_since_sequence:
        return f"{events}, output from event {extent.output_since_sequence:,} on"
    return f"{events}, without the output of {extent.missing_output_count:,}"


def drain_message(progress: DrainProgress) -> str:
    """Return how far a drain has got, as one line."""
    running = formatting.plural(progress.running_releases, "release")
    state = f"draining: {running} under way" if progress.running_releases else "drained"
    queued = progress.queued_releases
    return f"{state}, {queued:,} queued for the next start" if queued else state
