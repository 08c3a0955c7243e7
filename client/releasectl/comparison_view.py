"""How `releasectl diff` shows what differs: as rows of words, and as a JSON object."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from google.protobuf.message import Message

from releasephase.v1.release_pb2 import CommandRun, ContainerMode, Release

from . import formatting
from .comparison import CommandChange, Comparison, Environment, succeeded_in
from .json_output import mapped
from .tables import Fields, Table, When
from .words import (
    NONE,
    digest_head,
    entrypoint_text,
    escaped,
    limits_text,
    mounts_text,
    one_line,
    outcome_text,
    ratio_text,
    seconds,
    shown,
    source_name,
    state_text,
)

_SET = "set"
"""What is said of a variable without a digest."""

_TEXTS: Mapping[str, tuple[str, Callable[[Release], str]]] = {
    "application": ("application", lambda release: release.application),
    "environment": ("environment", lambda release: release.environment),
    "image": ("image", lambda release: release.image),
    "image_digest": ("digest", lambda release: release.image_digest),
    "image_id": ("image id", lambda release: release.image_id),
    "resources": ("limits", limits_text),
    "mounts": ("mounts", mounts_text),
    "networks": ("networks", lambda release: ", ".join(release.networks)),
    "user": ("user", lambda release: release.user),
    "working_dir": ("working dir", lambda release: release.working_dir),
    "entrypoint": ("entrypoint", entrypoint_text),
    "container_mode": (
        "containers",
        lambda release: ContainerMode.Name(release.container_mode).removeprefix("CONTAINER_MODE_"),
    ),
    "release_timeout": (
        "release timeout",
        lambda release: formatting.duration(seconds(release.release_timeout)),
    ),
    "engine_version": ("engine", lambda release: release.engine_version),
    "caller": ("caller", lambda release: formatting.caller_name(release.caller)),
    "requested_by": ("requested by", lambda release: release.requested_by),
    "labels": (
        "labels",
        lambda release: ", ".join(f"{name}={value}" for name, value in sorted(release.labels.items())),
    ),
    "state": ("state", state_text),
    "failure": ("reason", lambda release: release.failure.message),
    "outcome": ("outcome", outcome_text),
}
"""What each field of comparison.FIELDS is called, and how it is written."""


def compared_fields(comparison: Comparison, when: When) -> Fields:
    """Return which releases are compared, and what is the same of their environment."""
    fields = [
        (name, f"{release.name}, {state_text(release)}, {when(release.create_time)}")
        for name, release in (("before", comparison.before), ("after", comparison.after))
    ]
    return [*fields, *_summary(comparison.environment)]


def _summary(environment: Environment) -> Iterator[tuple[str, str]]:
    if environment.unchanged:
        yield "variables", f"{len(environment.unchanged)} unchanged"
    if environment.unknown:
        yield "variables", f"whose values can't be compared: {', '.join(environment.unknown)}"


def difference_fields(comparison: Comparison) -> Fields:
    """Return what differs: a line with what it was, if it was anything, and one with what it is."""
    fields: Fields = []
    for name, before, after in (
        *_field_rows(comparison),
        *_environment_rows(comparison),
        *_command_rows(comparison),
    ):
        lines = [f"{sign} {text}" for sign, text in (("-", before), ("+", after)) if text]
        fields += zip((name, ""), lines, strict=False)
    return fields


def _field_rows(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    for field in comparison.fields:
        name, text = _TEXTS[field]
        before, after = (text(each) if _is_set(each, field) else "" for each in comparison.releases)
        yield name, before, after


def _is_set(release: Release, field: str) -> bool:
    return not isinstance(getattr(release, field), Message) or release.HasField(field)  # type: ignore[arg-type]


def _environment_rows(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    environment = comparison.environment
    for name in sorted((*environment.added, *environment.removed, *environment.changed)):
        # What an earlier version accepted has no digests.
        before = digest_head(comparison.before, name) or _SET if name not in environment.added else ""
        after = digest_head(comparison.after, name) or _SET if name not in environment.removed else ""
        yield f"variable {name}", before, after


def _command_rows(comparison: Comparison) -> Iterator[tuple[str, str, str]]:
    for command in comparison.commands:
        for change in command.changes:
            text = _COMMAND_TEXTS[change]
            before = text(command.before) if command.before else ""
            after = text(command.after) if command.after else ""
            name = (
                f"{command.label}, {_CHANGES.get(change, change)}"
                if command.before and command.after
                else command.label
            )
            yield f"command {name}", *shown(before, after)


_CHANGES = {"command": "line", "allow_failure": "allow-failure", "skip": "skipped"}
"""What a change of a command is called, where it is not by its name in the JSON."""

_COMMAND_TEXTS: Mapping[str, Callable[[CommandRun], str]] = {
    "added": one_line,
    "removed": one_line,
    "command": one_line,
    "timeout": lambda run: formatting.duration(seconds(run.timeout)),
    "source": source_name,
    "allow_failure": lambda run: "yes" if run.allow_failure else "no",
    "rollback": lambda run: escaped(run.rollback) or "none",
    "skip": lambda run: run.skip_reason or "no",
    "order": lambda run: f"number {run.index + 1}",
}


def duration_table(comparison: Comparison) -> Table:
    """Return how long each command took that succeeded; no rows if none did."""
    rows = [
        (command.label, _took(command.before), _took(command.after), ratio_text(command.ratio))
        for command in comparison.commands
    ]
    if all(row[1:3] == (NONE, NONE) for row in rows):
        rows = []
    return Table(("COMMAND", "TOOK BEFORE", "TOOK AFTER", "RATIO"), rows, "COMMAND")


def _took(run: CommandRun | None) -> str:
    took = succeeded_in(run)
    return NONE if took is None else formatting.duration(took)


def comparison_object(comparison: Comparison) -> dict[str, object]:
    """Return what `releasectl diff --json` writes; docs/history.md says what is in it."""
    before, after = mapped(comparison.before), mapped(comparison.after)
    environment = comparison.environment
    return {
        "before": _head(before),
        "after": _head(after),
        "fields": [
            {"field": name, "before": before.get(name), "after": after.get(name)}
            for name in comparison.fields
        ],
        "environment": {name: list(getattr(environment, name)) for name in Environment.__slots__},
        "commands": [_command_object(command) for command in comparison.commands],
    }


def _head(release: dict[str, object]) -> dict[str, object]:
    return {
        name: release.get(name) for name in ("name", "application", "environment", "state", "create_time")
    }


def _command_object(command: CommandChange) -> dict[str, object]:
    def run(message: Message | None) -> dict[str, object] | None:
        return None if message is None else mapped(message)

    return {
        "label": command.label,
        "changes": list(command.changes),
        "before": run(command.before),
        "after": run(command.after),
        "ratio": command.ratio,
    }
