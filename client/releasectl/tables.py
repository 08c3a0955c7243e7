"""What `status`, `history` and `show` say, as rows of words. Drawing them is not done here."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from releasephase.v1.audit_service_pb2 import AuditEvent, VerifyAuditResponse
from releasephase.v1.daemon_service_pb2 import AuditStatus, ConfigurationStatus, DaemonStatus, LaneStatus
from releasephase.v1.release_pb2 import (
    CONTAINER_MODE_PER_COMMAND,
    CommandRun,
    Failure,
    Mount,
    Outcome,
    Release,
)

from . import formatting

When = Callable[[Timestamp], str]
"""Writes a time: its age on a terminal, ISO 8601 elsewhere."""

NONE = "-"

LONGEST_LINE = 120
"""How many characters of a shell line are shown."""

DIGEST_HEAD = 8
"""How many digits are shown of the digest of a variable's value: enough to see whether it is another one."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; a cell that has nothing to say is ``-``."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    elastic: str
    """The heading of the column that is shortened where it is too narrow for all."""
    optional: tuple[str, ...] = ()
    """The headings of the columns that are left out where even that is not enough, in that order."""


Fields = list[tuple[str, str]]
"""Names and values, one a line."""


def history_table(releases: Iterable[Release], when: When) -> Table:
    """Return the table of `releasectl history`."""
    headings = ("RELEASE", "TARGET", "STATE", "CAUSE", "OUTCOME", "CREATED", "TOOK", "IMAGE")
    rows = [_history_row(release, when) for release in releases]
    return Table(headings, rows, elastic="IMAGE", optional=("CAUSE", "IMAGE", "TOOK", "OUTCOME"))


def _history_row(release: Release, when: When) -> tuple[str, ...]:
    return (
        release.name.removeprefix("releases/"),
        f"{release.application}/{release.environment}",
        _state(release),
        _cause(release) or NONE,
        outcome_text(release) or NONE,
        when(release.create_time),
        _between(release) or NONE,
        release.image,
    )


def release_fields(release: Release, when: When) -> Fields:
    """Return what `releasectl show` says about a release; what is empty is left out."""
    fields = [
        ("release", release.name),
        ("target", f"{release.application}/{release.environment}"),
        ("state", state_text(release)),
        ("reason", release.failure.message),
        ("queue position", str(release.queue_position or "")),
        ("image", release.image),
        ("digest", release.image_digest or release.image_id),
        ("created", _at(release, "create_time", when)),
        ("started", _at(release, "start_time", when)),
        ("ended", _at(release, "end_time", when)),
        ("took", _between(release)),
        ("outcome", _reported(release, when)),
        ("caller", _caller(release)),
        ("requested by", release.requested_by),
        ("request id", release.request_id),
        ("labels", ", ".join(f"{name}={value}" for name, value in sorted(release.labels.items()))),
        ("environment", ", ".join(_variables(release))),
        ("networks", ", ".join(release.networks)),
        ("mounts", mounts_text(release)),
        ("limits", limits_text(release)),
        ("user", release.user),
        ("working dir", release.working_dir),
        ("entrypoint", entrypoint_text(release)),
        ("containers", _containers(release)),
        ("container", release.container_name),
        ("engine", release.engine_version),
        ("receipt", formatting.receipt(release.receipt) if release.HasField("receipt") else ""),
    ]
    return [(name, value) for name, value in fields if value]


def command_table(release: Release) -> Table:
    """Return the table of a release's commands."""
    headings = ("NO", "COMMAND", "STATE", "EXIT", "TOOK", "TIMEOUT", "STDOUT", "STDERR", "LINE")
    rows = [_command_row(run) for run in release.command_runs]
    return Table(headings, rows, elastic="LINE", optional=("STDOUT", "STDERR", "TIMEOUT", "LINE"))


def _command_row(run: CommandRun) -> tuple[str, ...]:
    return (
        str(run.index + 1),
        run.label,
        CommandRun.State.Name(run.state).removeprefix("STATE_"),
        _exit(run),
        _between(run) or NONE,
        formatting.duration(seconds(run.timeout)) if run.HasField("timeout") else NONE,
        formatting.size(run.stdout_bytes) if run.stdout_bytes else NONE,
        formatting.size(run.stderr_bytes) if run.stderr_bytes else NONE,
        line_text(run),
    )


def status_fields(status: DaemonStatus, when: When) -> Fields:
    """Return what `releasectl status` says about the daemon."""
    engine, audit = status.engine, status.audit
    answer = f"{engine.version} at {engine.url}" if engine.reachable else f"UNREACHABLE at {engine.url}"
    events = f"{audit.path}, {formatting.plural(audit.last_sequence, 'event')}"
    fields = [
        ("released", status.version),
        ("started", when(status.start_time)),
        ("engine", f"{answer}: {engine.message}" if engine.message else answer),
        ("releases", _under_way(status)),
        ("audit log", events if audit.writable else f"{events}, NOT WRITABLE: {audit.message}"),
        *_kept(audit, when),
        ("disk", ", ".join(_disk(audit))),
    ]
    if configuration := "; ".join(_configuration(status.configuration)):
        fields.append(("configuration", configuration))
    return fields


def _under_way(status: DaemonStatus) -> str:
    if status.draining:
        return f"DRAINING: {status.running_releases} under way; nothing is accepted or started"
    return f"{status.running_releases} of at most {status.max_concurrent} under way"


def _configuration(configuration: ConfigurationStatus) -> Iterator[str]:
    """What an operator who changed the file has still to do."""
    if configuration.message:
        yield f"REFUSED: {configuration.message}"
    if configuration.keys_at_restart:
        yield f"not before a RESTART: {', '.join(configuration.keys_at_restart)}"


def _kept(audit: AuditStatus, when: When) -> Iterator[tuple[str, str]]:
    """Since when the log is complete, if retention has removed something."""
    kept = []
    if audit.HasField("events_since_time"):
        kept.append(f"events since {when(audit.events_since_time)}")
    if audit.HasField("output_since_time"):
        kept.append(f"output since {when(audit.output_since_time)}")
    if kept:
        yield "kept", "; ".join(kept)


def _disk(audit: AuditStatus) -> Iterator[str]:
    yield f"{formatting.size(audit.size_bytes)} used"
    yield f"{formatting.size(audit.free_bytes)} free"
    if audit.reserve_bytes:
        yield f"{formatting.size(audit.reserve_bytes)} kept for results"


def lane_table(status: DaemonStatus) -> Table:
    """Return the table of the targets with a release that has not ended."""
    rows = [
        (lane.target, name.removeprefix("releases/"), place)
        for lane in status.lanes
        for name, place in _places(lane)
    ]
    return Table(("TARGET", "RELEASE", "PLACE"), rows, elastic="TARGET")


def _places(lane: LaneStatus) -> Iterator[tuple[str, str]]:
    if lane.running_release:
        yield lane.running_release, "STUCK" if lane.trouble else "under way"
    for position, name in enumerate(lane.queued_releases, 1):
        yield name, f"queued, position {position}"


def stuck_fields(status: DaemonStatus, when: When) -> Fields:
    """Return what does not get on, and why: in full, since it says what to do."""
    lanes = [
        ("stuck", f"{lane.target} since {when(lane.trouble_time)}: {lane.trouble}")
        for lane in status.lanes
        if lane.trouble
    ]
    orphans = [
        ("orphan", f"{each.container_name} since {when(each.first_seen_time)}: {each.message}")
        for each in status.orphans
    ]
    return [*lanes, *orphans, *_slow_fields(status, when)]


def _slow_fields(status: DaemonStatus, when: When) -> Fields:
    """Return which commands take much longer than usual."""
    return [
        (
            "slow",
            f"{lane.target}: {lane.slow_command.label} since {when(lane.slow_command.start_time)}, "
            f"usually {formatting.duration(seconds(lane.slow_command.median))}",
        )
        for lane in status.lanes
        if lane.HasField("slow_command")
    ]


def problem_fields(found: VerifyAuditResponse) -> Fields:
    """Return what `releasectl audit verify` says is wrong, by the events that it concerns."""
    return [
        (f"event {problem.sequence}" if problem.HasField("sequence") else "log", problem.description)
        for problem in found.problems
    ]


def ratio_text(ratio: float | None) -> str:
    """Return how many times as long something took, such as ``1.8x``."""
    return NONE if ratio is None else f"{ratio:.2g}x" if ratio < 10 else f"{ratio:.0f}x"


def event_table(events: Iterable[AuditEvent], when: When) -> Table:
    """Return the table of `releasectl audit events`."""
    headings = ("EVENT", "TIME", "RELEASE", "KIND", "OUTPUT", "BODY")
    rows = [_event_row(event, when) for event in events]
    return Table(headings, rows, elastic="BODY", optional=("RELEASE", "OUTPUT", "BODY"))


def _event_row(event: AuditEvent, when: When) -> tuple[str, ...]:
    body = event.body if len(event.body) <= LONGEST_LINE else f"{event.body[: LONGEST_LINE - 1]}…"
    return (
        str(event.sequence),
        when(event.event_time),
        event.release.removeprefix("releases/") or NONE,
        event.kind,
        formatting.size(event.output_bytes) if event.HasField("output_bytes") else NONE,
        body,
    )


def seconds(length: Duration) -> float:
    """Return the length of a duration in seconds."""
    return length.seconds + length.nanos / 1e9


def seconds_between(start: Timestamp, end: Timestamp) -> float:
    """Return the time from start to end in seconds, 0 if the clock was turned back."""
    return max(0.0, end.seconds - start.seconds + (end.nanos - start.nanos) / 1e9)


def state_text(release: Release) -> str:
    """Return where a release stands, and the cause if it failed."""
    return " ".join(filter(None, (_state(release), _cause(release))))


def outcome_text(release: Release) -> str:
    """Return what became of the deployment; empty as long as nobody has said."""
    return Outcome.Name(release.outcome).removeprefix("OUTCOME_") if release.outcome else ""


def _reported(release: Release, when: When) -> str:
    """The outcome with who reported it, when, and why."""
    if not release.outcome:
        return ""
    caller = formatting.caller_name(release.outcome_caller)
    reason = f": {release.outcome_reason}" if release.outcome_reason else ""
    return f"{outcome_text(release)} by {caller}, {when(release.outcome_time)}{reason}"


def _state(release: Release) -> str:
    return Release.State.Name(release.state).removeprefix("STATE_")


def _cause(release: Release) -> str:
    if not release.HasField("failure"):
        return ""
    return Failure.Cause.Name(release.failure.cause).removeprefix("CAUSE_")


def _between(item: Release | CommandRun) -> str:
    if not (item.HasField("start_time") and item.HasField("end_time")):
        return ""
    return formatting.duration(seconds_between(item.start_time, item.end_time))


def _at(release: Release, field: str, when: When) -> str:
    return when(getattr(release, field)) if release.HasField(field) else ""  # type: ignore[arg-type]


def _exit(run: CommandRun) -> str:
    code = str(run.exit_code) if run.HasField("exit_code") else ""
    signal = formatting.signal_name(run.signal) if run.signal else ""
    return " ".join(filter(None, (code, signal))) or NONE


def line_text(run: CommandRun) -> str:
    """Return what ran, as one line that a table has room for; all of it is in the JSON."""
    return cut(one_line(run))


def one_line(run: CommandRun) -> str:
    """Return what ran, all of it in one line."""
    return " ".join((run.line or shlex.join(run.argv.arguments)).split())


def cut(line: str) -> str:
    """Return as much of a line as a table has room for."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def _caller(release: Release) -> str:
    """Who started it, and by which program: what the kernel says comes before what they claim."""
    if not release.HasField("caller"):
        return ""
    caller = release.caller
    program = f" ({caller.executable})" if caller.executable else ""
    return f"{formatting.caller_name(caller)}, process {caller.pid}{program}"


def _variables(release: Release) -> Iterator[str]:
    """Each with the head of its value's digest: another one is another value."""
    for name in release.environment_names:
        yield name + digest_head(release, name)


def digest_head(release: Release, name: str) -> str:
    """Return the head of the digest of a variable's value, such as ``#3f2a91c0``; empty if there is none."""
    digest = release.environment_digests.get(name, "")
    return f"#{digest[:DIGEST_HEAD]}" if digest else ""


def mounts_text(release: Release) -> str:
    """Return what is mounted, as `run --volume` takes it."""
    return ", ".join(map(_mount, release.mounts))


def _mount(mount: Mount) -> str:
    return f"{mount.source}:{mount.target}" + ":ro" * mount.read_only


def limits_text(release: Release) -> str:
    """Return the container's limits."""
    return ", ".join(_limits(release))


def _limits(release: Release) -> Iterator[str]:
    limits = release.resources
    if limits.memory_bytes:
        yield f"{formatting.size(limits.memory_bytes)} memory"
    if limits.cpus:
        yield f"{limits.cpus:g} cpus"
    if limits.pids:
        yield f"{limits.pids} pids"


def _containers(release: Release) -> str:
    """Said only where it is not what everybody expects."""
    return "one for each command" if release.container_mode == CONTAINER_MODE_PER_COMMAND else ""


def entrypoint_text(release: Release) -> str:
    """Return the entrypoint that replaces the image's own; empty if none does."""
    if not release.HasField("entrypoint"):
        return ""
    return " ".join(release.entrypoint.arguments) or "none"
