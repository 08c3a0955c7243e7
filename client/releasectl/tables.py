"""What `history`, `show` and `audit` say, as rows of words. Drawing them is not done here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from releasephase.v1.audit_service_pb2 import AuditEvent, VerifyAuditResponse
from releasephase.v1.release_pb2 import (
    COMMANDS_FROM_SETTINGS,
    CONTAINER_MODE_PER_COMMAND,
    CommandRun,
    Release,
)

from . import formatting
from .words import (
    LONGEST_LINE,
    NO_COMMAND_RUNS,
    NONE,
    cause_name,
    commands_unknown,
    cut,
    digest_head,
    entrypoint_text,
    escaped,
    exit_text,
    limits_text,
    line_text,
    mounts_text,
    outcome_text,
    release_timeout_text,
    source_name,
    state_name,
    state_text,
    timeout_text,
    took_text,
)

When = Callable[[Timestamp], str]
"""Writes a time: its age on a terminal, ISO 8601 elsewhere."""


NO_COMMANDS = f"none: {NO_COMMAND_RUNS}"

LONGEST_PROBLEM = 300
"""How many characters are shown of what is wrong with an audit log."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under headings; a cell that has nothing to say is ``-``."""

    headings: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    elastic: str
    """The heading of the column that is shortened where it is too narrow for all."""
    optional: tuple[str, ...] = ()
    """The headings of the columns that are left out where even that is not enough, in that order."""
    shortened: tuple[str, ...] = ()
    """The headings of the columns that are shortened where that is not enough either, in that order."""


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
        state_name(release) + " (rollback)" * bool(release.rollback_of),
        cause_name(release) or NONE,
        outcome_text(release) or NONE,
        when(release.create_time),
        took_text(release) or NONE,
        release.image,
    )


def release_fields(release: Release, when: When) -> Fields:
    """Return what `releasectl show` says about a release; what is empty is left out."""
    fields = [
        ("release", release.name),
        ("target", f"{release.application}/{release.environment}"),
        ("state", state_text(release)),
        ("reason", release.failure.message),
        *_cancelled(release, when),
        ("queue position", str(release.queue_position or "")),
        ("retry of", release.retry_of),
        ("rollback of", release.rollback_of),
        ("rolled back by", release.rollback),
        ("lock groups", ", ".join(release.lock_groups)),
        *image_fields(release),
        ("created", _at(release, "create_time", when)),
        ("started", _at(release, "start_time", when)),
        ("ended", _at(release, "end_time", when)),
        ("took", took_text(release)),
        ("outcome", _reported(release, when)),
        ("caller", _caller(release)),
        ("requested by", release.requested_by),
        ("request id", release.request_id),
        ("release timeout", release_timeout_text(release)),
        *container_fields(release),
        ("container", release.container_name),
        ("engine", release.engine_version),
        ("receipt", formatting.receipt(release.receipt) if release.HasField("receipt") else ""),
        ("commands", _no_commands(release)),
    ]
    return said(fields)


def image_fields(release: Release) -> Fields:
    """Return what is known of a release's image; what is not is empty."""
    return [
        ("image", release.image),
        ("digest", release.image_digest),
        ("image id", release.image_id),
    ]


def container_fields(release: Release) -> Fields:
    """Return what a release's containers are like, and its labels; what was not asked for is empty."""
    return [
        ("labels", ", ".join(f"{name}={value}" for name, value in sorted(release.labels.items()))),
        ("environment", ", ".join(_variables(release))),
        ("networks", ", ".join(release.networks)),
        ("mounts", mounts_text(release)),
        ("limits", limits_text(release)),
        ("user", release.user),
        ("working dir", release.working_dir),
        ("entrypoint", entrypoint_text(release)),
        ("like", _likeness(release)),
        ("containers", _containers(release)),
    ]


def said(fields: Fields) -> Fields:
    """Return the fields that are not empty."""
    return [(name, value) for name, value in fields if value]


def command_table(release: Release) -> Table:
    """Return the table of a release's commands."""
    headings = ("NO", "COMMAND", "SOURCE", "STATE", "EXIT", "TOOK", "TIMEOUT", "STDOUT", "STDERR", "LINE")
    rows = [_command_row(run) for run in release.command_runs]
    return Table(headings, rows, elastic="LINE", optional=("STDOUT", "STDERR", "SOURCE", "TIMEOUT", "LINE"))


def _command_row(run: CommandRun) -> tuple[str, ...]:
    return (
        str(run.index + 1),
        run.label,
        source_name(run),
        CommandRun.State.Name(run.state).removeprefix("STATE_"),
        exit_text(run),
        took_text(run) or NONE,
        timeout_text(run),
        formatting.size(run.stdout_bytes) if run.stdout_bytes else NONE,
        formatting.size(run.stderr_bytes) if run.stderr_bytes else NONE,
        line_text(run),
    )


def command_remarks(release: Release) -> Fields:
    """Return what is special about a release's commands, under their labels."""
    return [(run.label, remark) for run in release.command_runs for remark in _remarks(run)]


def _remarks(run: CommandRun) -> Iterator[str]:
    if run.skip_reason:
        yield f"skipped: {run.skip_reason}"
    if run.allow_failure:
        yield "allow-failure"
    if run.rollback:
        yield f"rollback: {cut(escaped(run.rollback))}"


def problem_fields(found: VerifyAuditResponse) -> Fields:
    """Return what `releasectl audit verify` says is wrong, by the events that it concerns."""
    return [
        (
            f"event {problem.sequence}" if problem.HasField("sequence") else "log",
            _in_brief(problem.description),
        )
        for problem in found.problems
    ]


def _in_brief(description: str) -> str:
    """The head of a problem: one may name all of a schema, or have a long label. All of it is in the JSON."""
    if len(description) <= LONGEST_PROBLEM:
        return description
    return f"{description[: LONGEST_PROBLEM - 1]}… (all of it: --json)"


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


def _reported(release: Release, when: When) -> str:
    """The outcome with who reported it, when, and why."""
    if not release.outcome:
        return ""
    caller = formatting.caller_name(release.outcome_caller)
    reason = f": {release.outcome_reason}" if release.outcome_reason else ""
    return f"{outcome_text(release)} by {caller}, {when(release.outcome_time)}{reason}"


def _cancelled(release: Release, when: When) -> Fields:
    """Who asked for it to be cancelled, when, and why; it may have ended otherwise all the same."""
    if not release.HasField("cancel_time"):
        return []
    name = "cancelled" if release.state == Release.STATE_CANCELLED else "cancel requested"
    caller = (
        f"by {formatting.caller_name(release.cancel_caller)}, " if release.HasField("cancel_caller") else ""
    )
    reason = f": {release.cancel_reason}" if release.cancel_reason else ""
    return [(name, f"{caller}{when(release.cancel_time)}{reason}")]


def _at(release: Release, field: str, when: When) -> str:
    return when(getattr(release, field)) if release.HasField(field) else ""  # type: ignore[arg-type]


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


def _likeness(release: Release) -> str:
    """From which container what was taken; where that counts, it is told above, too."""
    if not release.HasField("likeness"):
        return ""
    likeness = release.likeness
    taken = (
        ("variables", ", ".join(likeness.environment_names)),
        ("networks", ", ".join(likeness.networks)),
        ("mounts", mounts_text(likeness)),
        ("user", likeness.user),
    )
    what = "; ".join(f"{name} {value}" for name, value in taken if value)
    return f"{likeness.container_name}: {what or 'nothing to take'}"


def _no_commands(release: Release) -> str:
    """Why there are none in the table; empty for a release that has some."""
    if release.command_runs or release.commands_from != COMMANDS_FROM_SETTINGS:
        return ""
    if commands_unknown(release):
        return "known once the image is there"
    if release.state == Release.STATE_SUCCEEDED:
        return NO_COMMANDS
    return "never known"


def _containers(release: Release) -> str:
    """Said only where it is not what everybody expects."""
    return "one for each command" if release.container_mode == CONTAINER_MODE_PER_COMMAND else ""
