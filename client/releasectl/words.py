"""How the parts of a release are written, one by one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from releasephase.v1.release_pb2 import (
    COMMANDS_FROM_SETTINGS,
    CommandRun,
    Failure,
    Likeness,
    Mount,
    Outcome,
    Release,
)

from . import formatting

if TYPE_CHECKING:
    from releasephase.v1.command_service_pb2 import Command

NONE = "-"

NO_COMMAND_RUNS = "neither the image nor the settings have a command that runs in this environment"
"""They may have some that are disabled, or for other environments."""

LONGEST_LINE = 120
"""How many characters of a shell line are shown."""

_CONTEXT = 20
"""Characters that are shown before the first one that differs, where there is not room for all."""

DIGEST_HEAD = 8
"""How many digits are shown of the digest of a variable's value: enough to see whether it is another one."""


def state_text(release: Release) -> str:
    """Return where a release stands, and the cause if it failed."""
    return " ".join(filter(None, (state_name(release), cause_name(release))))


def state_name(release: Release) -> str:
    """Return where a release stands."""
    return Release.State.Name(release.state).removeprefix("STATE_")


def cause_name(release: Release) -> str:
    """Return why a release failed; empty for one that did not."""
    if not release.HasField("failure"):
        return ""
    return Failure.Cause.Name(release.failure.cause).removeprefix("CAUSE_")


def outcome_text(release: Release) -> str:
    """Return what became of the deployment; empty as long as nobody has said."""
    return Outcome.Name(release.outcome).removeprefix("OUTCOME_") if release.outcome else ""


def took_text(item: Release | CommandRun) -> str:
    """Return how long something took that has ended; empty before."""
    if not (item.HasField("start_time") and item.HasField("end_time")):
        return ""
    return formatting.duration(seconds_between(item.start_time, item.end_time))


def exit_text(run: CommandRun) -> str:
    """Return a command's exit code and the signal that ended it."""
    code = str(run.exit_code) if run.HasField("exit_code") else ""
    signal = formatting.signal_name(run.signal) if run.signal else ""
    return " ".join(filter(None, (code, signal))) or NONE


def exit_sentence(run: CommandRun) -> str:
    """Return how a command ended, as a sentence."""
    signal = f" ({formatting.signal_name(run.signal)})" if run.signal else ""
    return f"The command ended with exit code {run.exit_code}{signal}."


def source_name(run: CommandRun) -> str:
    """Return where a command was declared; ``-`` if that is not known."""
    return CommandRun.Source.Name(run.source).removeprefix("SOURCE_") if run.source else NONE


def timeout_text(run: CommandRun) -> str:
    """Return how long a command may run; ``-`` if that is not known."""
    return formatting.duration(seconds(run.timeout)) if run.HasField("timeout") else NONE


def release_timeout_text(release: Release) -> str:
    """Return how long all of a release may take; empty if there is no limit."""
    if not release.HasField("release_timeout"):
        return ""
    return formatting.duration(seconds(release.release_timeout))


def commands_unknown(release: Release) -> bool:
    """Return whether it is not known yet which commands a release runs: its image is not there."""
    return (
        release.commands_from == COMMANDS_FROM_SETTINGS
        and not release.command_runs
        and release.state in (Release.STATE_QUEUED, Release.STATE_PREPARING)
    )


def line_text(run: CommandRun | Command) -> str:
    """Return what ran, as one line that a table has room for; all of it is in the JSON."""
    return cut(one_line(run))


def one_line(run: CommandRun | Command) -> str:
    """Return what ran, all of it in one line: a shell line has escapes for line breaks and tabs.

    A program is a JSON array, as in a Dockerfile, such as ``["bin/migrate", "--all"]``: for a shell the
    same words would be another command.
    """
    if run.HasField("argv"):
        return json.dumps(list(run.argv.arguments), ensure_ascii=False)
    return escaped(run.line)


def escaped(line: str) -> str:
    """Return a shell line in one line, with escapes for line breaks and tabs."""
    return line.replace("\n", r"\n").replace("\t", r"\t")


def cut(line: str) -> str:
    """Return as much of a line as a table has room for."""
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 1]}…"


def shown(before: str, after: str) -> tuple[str, str]:
    """Return as much of two texts as a table has room for, from shortly before where they differ."""
    shorter = min(len(before), len(after))
    same = next((at for at in range(shorter) if before[at] != after[at]), shorter)
    if max(len(before), len(after)) <= LONGEST_LINE or same <= _CONTEXT:
        return cut(before), cut(after)
    return cut(f"…{before[same - _CONTEXT :]}"), cut(f"…{after[same - _CONTEXT :]}")


def digest_head(release: Release, name: str) -> str:
    """Return the head of the digest of a variable's value, such as ``#3f2a91c0``; empty if there is none."""
    digest = release.environment_digests.get(name, "")
    return f"#{digest[:DIGEST_HEAD]}" if digest else ""


def mounts_text(release: Release | Likeness) -> str:
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


def entrypoint_text(release: Release) -> str:
    """Return the entrypoint that replaces the image's own; empty if none does."""
    if not release.HasField("entrypoint"):
        return ""
    return " ".join(release.entrypoint.arguments) or "none"


def ratio_text(ratio: float | None) -> str:
    """Return how many times as long something took, such as ``1.8x``."""
    return NONE if ratio is None else f"{ratio:.2g}x" if ratio < 10 else f"{ratio:.0f}x"


def seconds(length: Duration) -> float:
    """Return the length of a duration in seconds."""
    return length.seconds + length.nanos / 1e9


def seconds_between(start: Timestamp, end: Timestamp) -> float:
    """Return the time from start to end in seconds, 0 if the clock was turned back."""
    return max(0.0, end.seconds - start.seconds + (end.nanos - start.nanos) / 1e9)
