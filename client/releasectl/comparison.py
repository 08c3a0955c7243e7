"""What differs between two releases. Pure: two releases in, their differences out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from google.protobuf.message import Message

from releasephase.v1.release_pb2 import CommandRun, Release

from .words import seconds_between

FIELDS = (
    "application",
    "environment",
    "image",
    "image_digest",
    "image_id",
    "resources",
    "mounts",
    "networks",
    "user",
    "working_dir",
    "entrypoint",
    "container_mode",
    "release_timeout",
    "engine_version",
    "caller",
    "requested_by",
    "labels",
    "state",
    "failure",
    "outcome",
)
"""The fields of a release that are compared as they are; commands and variables are compared one by one."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The names of variables, by what became of their values, each in order."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    unknown: tuple[str, ...]
    """In both; but values of different targets can't be compared, nor those of which there is no digest."""


@dataclass(frozen=True, slots=True)
class CommandChange:
    """A command of one of the releases or of both: the n-th of its label in one is the n-th in the other."""

    label: str
    before: CommandRun | None
    after: CommandRun | None
    changes: tuple[str, ...]
    """``added`` or ``removed``, or any of ``command``, ``timeout``, ``source``, ``allow_failure``,
    ``rollback``, ``skip`` and ``order``; none: it is the same."""

    @property
    def ratio(self) -> float | None:
        """How many times as long as before it took; None unless it succeeded in both."""
        before, after = succeeded_in(self.before), succeeded_in(self.after)
        return after / before if before and after is not None else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two releases and what differs between them."""

    before: Release
    after: Release
    fields: tuple[str, ...]
    """Those of FIELDS that differ."""
    environment: Environment
    commands: tuple[CommandChange, ...]
    """All commands: those of the second release in their order, then those that only the first has."""

    @property
    def releases(self) -> tuple[Release, Release]:
        """Both of them."""
        return self.before, self.after

    @property
    def is_same(self) -> bool:
        """Whether nothing differs, durations apart."""
        environment = self.environment
        changed = environment.added or environment.removed or environment.changed
        return not (self.fields or changed or any(command.changes for command in self.commands))


def compare(before: Release, after: Release) -> Comparison:
    """Return what differs between two releases."""
    return Comparison(
        before,
        after,
        tuple(name for name in FIELDS if _value(before, name) != _value(after, name)),
        _compared_environment(before, after),
        tuple(_compared_commands(before.command_runs, after.command_runs)),
    )


def succeeded_in(run: CommandRun | None) -> float | None:
    """Return how many seconds a command took that succeeded."""
    if run is None or run.state != CommandRun.STATE_SUCCEEDED:
        return None
    return seconds_between(run.start_time, run.end_time)


def _value(release: Release, name: str) -> object:
    """The value of a field, as something that can be compared; None for a message that is not set."""
    value = getattr(release, name)
    if isinstance(value, Message) and not release.HasField(name):  # type: ignore[arg-type]
        return None
    if name == "caller":
        return value.uid, value.user  # each call has a process of its own
    if name == "mounts":
        return sorted(value, key=lambda mount: str(mount.target))
    return dict(value) if name == "labels" else value


def _compared_environment(before: Release, after: Release) -> Environment:
    old, new = before.environment_digests, after.environment_digests
    same_target = (before.application, before.environment) == (after.application, after.environment)
    by_change = defaultdict(list)
    for name in sorted({*before.environment_names, *after.environment_names}):
        if name not in before.environment_names:
            by_change["added"].append(name)
        elif name not in after.environment_names:
            by_change["removed"].append(name)
        elif not same_target or name not in old or name not in new:
            by_change["unknown"].append(name)
        else:
            by_change["unchanged" if old[name] == new[name] else "changed"].append(name)
    return Environment(
        *(tuple(by_change[change]) for change in ("added", "removed", "changed", "unchanged", "unknown"))
    )


def _compared_commands(before: Sequence[CommandRun], after: Sequence[CommandRun]) -> Iterator[CommandChange]:
    old, new = dict(_keyed(before)), dict(_keyed(after))
    common = [key for key in old if key in new], [key for key in new if key in old]
    blocks = SequenceMatcher(None, *common, autojunk=False).get_matching_blocks()
    in_order = {key for block in blocks for key in common[0][block.a : block.a + block.size]}
    for key, run in new.items():
        if (earlier := old.get(key)) is None:
            yield CommandChange(run.label, None, run, ("added",))
        else:
            yield CommandChange(run.label, earlier, run, tuple(_changes(earlier, run, key in in_order)))
    for key, run in old.items():
        if key not in new:
            yield CommandChange(run.label, run, None, ("removed",))


def _keyed(runs: Sequence[CommandRun]) -> Iterator[tuple[tuple[str, int], CommandRun]]:
    """Yield commands under their label and its how-manieth they are: labels need not be unique."""
    seen: defaultdict[str, int] = defaultdict(int)
    for run in runs:
        yield (run.label, seen[run.label]), run
        seen[run.label] += 1


def _changes(before: CommandRun, after: CommandRun, in_order: bool) -> Iterator[str]:
    if (before.line, before.argv) != (after.line, after.argv):
        yield "command"
    if before.timeout != after.timeout:
        yield "timeout"
    if before.source != after.source:
        yield "source"
    if before.allow_failure != after.allow_failure:
        yield "allow_failure"
    if before.rollback != after.rollback:
        yield "rollback"
    if before.skip_reason != after.skip_reason:
        yield "skip"
    if not in_order:
        yield "order"
