"""Projections: how an event changes the tables that queries read.

A projection is a pure function of the events, in their order. The writer makes its changes
in the transaction that stores the event; verifying makes them again, and compares.
"""

from collections.abc import Mapping, Sequence
from functools import singledispatch
from types import MappingProxyType
from typing import Any, final

import msgspec

from released.audit.times import as_microseconds
from released.model import events
from released.model.release import Command
from released.model.states import CommandState, ReleaseState, Stream

RELEASES = "releases"
LABELS = "release_labels"
COMMANDS = "command_runs"
CHECKPOINTS = "checkpoints"
SETTINGS = "command_settings"


KEYS = {
    RELEASES: ("release_id",),
    LABELS: ("release_id", "key"),
    COMMANDS: ("release_id", "command_index"),
    CHECKPOINTS: ("subject",),
    SETTINGS: ("application",),
}
"""By what changes name the rows of each table: its first columns."""

# Looking up a member of an enum takes as long as all else that is done here with most events.
QUEUED, PREPARING = ReleaseState.QUEUED, ReleaseState.PREPARING
PENDING, RUNNING = CommandState.PENDING, CommandState.RUNNING
STDOUT = Stream.STDOUT

NOTHING: Mapping[str, int] = MappingProxyType({})

# Structs, of which millions are made when a log is verified: tuples with names take three times as long.


@final
class Insert(msgspec.Struct, frozen=True, gc=False):
    """A new row; columns that are not named have the schema's defaults."""

    table: str
    key: tuple[Any, ...]
    values: dict[str, Any]


@final
class Update(msgspec.Struct, frozen=True, gc=False):
    """Other values, and numbers added, in the row of that key; without effect if there is none."""

    table: str
    key: tuple[Any, ...]
    values: dict[str, Any]
    added: Mapping[str, int] = NOTHING
    unless_set: str = ""
    """A column: what has a value in it stays as it is."""


Change = Insert | Update


class Row(msgspec.Struct, frozen=True, gc=False):
    """What a projection knows of an event besides its body."""

    sequence: int
    release_id: str
    time: int
    """Microseconds since 1970-01-01 UTC."""
    output_bytes: int


@singledispatch
def project(body: events.AnyBody, row: Row) -> Sequence[Change]:
    """Return how an event changes the projections: not at all by default."""
    return ()


@project.register
def _(body: events.ReleaseAccepted, row: Row) -> Sequence[Change]:
    spec, caller, release_id = body.spec, body.caller, row.release_id
    release = Insert(
        RELEASES,
        (release_id,),
        {
            "accept_sequence": row.sequence,
            "application": spec.application,
            "environment": spec.environment,
            "image": spec.image,
            "request_id": spec.request_id or None,
            "requested_by": spec.requested_by,
            "caller_uid": caller.uid if caller else None,
            "caller_user": caller.user if caller else "",
            "state": QUEUED,
            "create_time": row.time,
            # Left out where they say nothing: a release of schema 1 goes into the tables of schema 2 first.
            **({"retry_of": spec.retry_of} if spec.retry_of else {}),
            **({"rollback_of": spec.rollback_of} if spec.rollback_of else {}),
        },
    )
    labels = [Insert(LABELS, (release_id, key), {"value": value}) for key, value in spec.labels.items()]
    return [release, *labels, *_commands(release_id, spec.commands)]


@project.register
def _(body: events.StateChanged, row: Row) -> Sequence[Change]:
    values: dict[str, Any] = {"state": body.state}
    if body.state is PREPARING:
        values["start_time"] = row.time
    if body.state.is_terminal:
        values |= {"end_time": row.time, "end_sequence": row.sequence}
    if body.failure:
        values["cause"] = body.failure.cause
        values["message"] = body.failure.message
        values["failed_index"] = body.failure.command_index
    return _of_release(row, values)


@project.register
def _(body: events.ImageResolved, row: Row) -> Sequence[Change]:
    return _of_release(row, {"image_id": body.image_id, "image_digest": body.image_digest})


@project.register
def _(body: events.CommandsResolved, row: Row) -> Sequence[Change]:
    resolved = Update(RELEASES, (row.release_id,), {"resolve_sequence": row.sequence})
    return [resolved, *_commands(row.release_id, body.commands)]


@project.register
def _(body: events.ContainerCreated, row: Row) -> Sequence[Change]:
    return _of_release(
        row,
        {
            "container_id": body.container_id,
            "container_name": body.container_name,
            "engine_version": body.engine_version,
        },
    )


@project.register
def _(body: events.CancelRequested, row: Row) -> Sequence[Change]:
    values = {
        "cancel_reason": body.reason,
        "cancel_time": row.time,
        "cancel_caller": msgspec.json.encode(body.caller).decode() if body.caller else None,
    }
    return [Update(RELEASES, (row.release_id,), values, unless_set="cancel_time")]


@project.register
def _(body: events.OutcomeReported, row: Row) -> Sequence[Change]:
    return _of_release(
        row,
        {
            "outcome": body.outcome,
            "outcome_reason": body.reason,
            "outcome_time": row.time,
            "outcome_caller": msgspec.json.encode(body.caller).decode(),
        },
    )


@project.register
def _(body: events.CommandStarted, row: Row) -> Sequence[Change]:
    values = {"state": RUNNING, "start_time": row.time}
    return _of_command(row, body.command_index, values)


@project.register
def _(body: events.CommandOutput, row: Row) -> Sequence[Change]:
    if body.command_index is None:
        return ()
    column = "stdout_bytes" if body.stream is STDOUT else "stderr_bytes"
    added = {column: row.output_bytes + body.omitted_bytes, "omitted_bytes": body.omitted_bytes}
    return _of_command(row, body.command_index, {}, added)


@project.register
def _(body: events.CommandFinished, row: Row) -> Sequence[Change]:
    values = {
        "state": body.state,
        "exit_code": body.exit_code,
        "signal": body.signal,
        "end_time": body.end_time and as_microseconds(body.end_time),
        # Left out like those of a release.
        **({"stopped": 1} if body.stopped else {}),
    }
    return _of_command(row, body.command_index, values)


@project.register
def _(body: events.CommandsChanged, row: Row) -> Sequence[Change]:
    """A new row, as of a checkpoint."""
    commands = msgspec.json.encode(body.commands).decode()
    return [Insert(SETTINGS, (body.application,), {"commands": commands, "sequence": row.sequence})]


@project.register
def _(body: events.OutputPruned, row: Row) -> Sequence[Change]:
    return _checkpoint(row, "output", body.through_sequence, None)


@project.register
def _(body: events.EventsPruned, row: Row) -> Sequence[Change]:
    return _checkpoint(row, "events", body.through_sequence, bytes.fromhex(body.digest))


def _checkpoint(row: Row, subject: str, through_sequence: int, digest: bytes | None) -> Sequence[Change]:
    """A new row, for which the database makes room: it takes the place of the one before."""
    values = {"through_sequence": through_sequence, "digest": digest, "sequence": row.sequence}
    return [Insert(CHECKPOINTS, (subject,), values)]


def _commands(release_id: str, commands: Sequence[Command]) -> list[Insert]:
    return [
        Insert(COMMANDS, (release_id, index), {"label": command.label, "state": PENDING})
        for index, command in enumerate(commands)
    ]


def _of_release(row: Row, values: dict[str, Any]) -> Sequence[Change]:
    return [Update(RELEASES, (row.release_id,), values)]


def _of_command(
    row: Row, index: int, values: dict[str, Any], added: Mapping[str, int] = NOTHING
) -> Sequence[Change]:
    return [Update(COMMANDS, (row.release_id, index), values, added)]
