"""Projections: the statements by which an event changes the tables that queries read.

A projection is a pure function of the events, in their order; the writer runs its
statements in the transaction that stores the event.
"""

from collections.abc import Iterator
from functools import singledispatch
from typing import Any, NamedTuple

from released.audit.times import as_microseconds
from released.model import events
from released.model.states import CommandState, ReleaseState, Stream


class Statement(NamedTuple):
    """A statement and its parameters."""

    sql: str
    parameters: tuple[Any, ...]


class Row(NamedTuple):
    """What a projection knows of an event besides its body."""

    sequence: int
    release_id: str
    time: int
    """Microseconds since 1970-01-01 UTC."""
    output_bytes: int


@singledispatch
def project(body: events.AnyBody, row: Row) -> Iterator[Statement]:
    """Yield the statements by which an event changes the projections: none by default."""
    yield from ()


@project.register
def _(body: events.ReleaseAccepted, row: Row) -> Iterator[Statement]:
    spec = body.spec
    yield Statement(
        "INSERT INTO releases (release_id, accept_sequence, application, environment, request_id, state, "
        "create_time) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            row.release_id,
            row.sequence,
            spec.application,
            spec.environment,
            spec.request_id or None,
            ReleaseState.QUEUED,
            row.time,
        ),
    )
    for key, value in spec.labels.items():
        yield Statement(
            "INSERT INTO release_labels (release_id, key, value) VALUES (?, ?, ?)",
            (row.release_id, key, value),
        )
    for index, command in enumerate(spec.commands):
        yield Statement(
            "INSERT INTO command_runs (release_id, command_index, label, state) VALUES (?, ?, ?, ?)",
            (row.release_id, index, command.label, CommandState.PENDING),
        )


@project.register
def _(body: events.StateChanged, row: Row) -> Iterator[Statement]:
    yield Statement("UPDATE releases SET state = ? WHERE release_id = ?", (body.state, row.release_id))
    if body.state is ReleaseState.PREPARING:
        yield Statement("UPDATE releases SET start_time = ? WHERE release_id = ?", (row.time, row.release_id))
    if body.state.is_terminal:
        yield Statement("UPDATE releases SET end_time = ? WHERE release_id = ?", (row.time, row.release_id))
    if body.failure:
        yield Statement(
            "UPDATE releases SET cause = ?, message = ?, failed_index = ? WHERE release_id = ?",
            (body.failure.cause, body.failure.message, body.failure.command_index, row.release_id),
        )


@project.register
def _(body: events.ImageResolved, row: Row) -> Iterator[Statement]:
    yield Statement(
        "UPDATE releases SET image_id = ?, image_digest = ? WHERE release_id = ?",
        (body.image_id, body.image_digest, row.release_id),
    )


@project.register
def _(body: events.ContainerCreated, row: Row) -> Iterator[Statement]:
    yield Statement(
        "UPDATE releases SET container_id = ?, container_name = ? WHERE release_id = ?",
        (body.container_id, body.container_name, row.release_id),
    )


@project.register
def _(body: events.CommandStarted, row: Row) -> Iterator[Statement]:
    yield Statement(
        "UPDATE command_runs SET state = ?, start_time = ? WHERE release_id = ? AND command_index = ?",
        (CommandState.RUNNING, row.time, row.release_id, body.command_index),
    )


@project.register
def _(body: events.CommandOutput, row: Row) -> Iterator[Statement]:
    if body.command_index is None:
        return
    column = "stdout_bytes" if body.stream is Stream.STDOUT else "stderr_bytes"
    yield Statement(
        f"UPDATE command_runs SET {column} = {column} + ?, omitted_bytes = omitted_bytes + ? "  # noqa: S608
        "WHERE release_id = ? AND command_index = ?",
        (row.output_bytes + body.omitted_bytes, body.omitted_bytes, row.release_id, body.command_index),
    )


@project.register
def _(body: events.CommandFinished, row: Row) -> Iterator[Statement]:
    yield Statement(
        "UPDATE command_runs SET state = ?, exit_code = ?, signal = ?, end_time = ? "
        "WHERE release_id = ? AND command_index = ?",
        (
            body.state,
            body.exit_code,
            body.signal,
            body.end_time and as_microseconds(body.end_time),
            row.release_id,
            body.command_index,
        ),
    )
