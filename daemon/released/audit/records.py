"""What queries return: a release and its commands as the projections have them."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from released.audit.times import as_time
from released.model.caller import Caller
from released.model.events import CommandsResolved, Failure, ReleaseAccepted
from released.model.instant import Instant
from released.model.receipt import Receipt
from released.model.release import ReleaseSpec, Target
from released.model.states import Cause, CommandState, Outcome, ReleaseState


def _optional_time(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else as_time(microseconds)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRecord:
    """What is known of one command of a release."""

    index: int
    state: CommandState
    exit_code: int | None
    signal: int
    start_time: datetime | None
    end_time: datetime | None
    stdout_bytes: int
    stderr_bytes: int
    omitted_bytes: int
    stopped: bool = False
    """Whether somebody else had stopped its container."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "CommandRecord":
        """From the columns of a row of command_runs."""
        return cls(
            index=row["command_index"],
            state=CommandState(row["state"]),
            exit_code=row["exit_code"],
            signal=row["signal"],
            start_time=_optional_time(row["start_time"]),
            end_time=_optional_time(row["end_time"]),
            stdout_bytes=row["stdout_bytes"],
            stderr_bytes=row["stderr_bytes"],
            omitted_bytes=row["omitted_bytes"],
            stopped=bool(row["stopped"]),
        )


class ReportedOutcome(NamedTuple):
    """What somebody has said of the deployment, and when."""

    outcome: Outcome
    reason: str
    time: datetime
    caller: Caller


class RequestedCancel(NamedTuple):
    """What somebody has asked for, and when. No caller: an earlier version did not ask the kernel."""

    reason: str
    time: datetime
    caller: Caller | None


class NewerRelease(NamedTuple):
    """A release that was accepted later than another one."""

    release_id: str
    target: Target
    lock_groups: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class ReleaseRecord:
    """What is known of a release."""

    release_id: str
    accept_sequence: int
    last_sequence: int
    spec: ReleaseSpec
    """With the commands that it runs, as soon as they are known."""
    commands_known: bool
    caller: Caller | None
    request_digest: str
    with_secrets: bool
    accepted_at: Instant | None
    state: ReleaseState
    failure: Failure | None
    image_id: str
    image_digest: str
    container_id: str
    container_name: str
    engine_version: str
    create_time: datetime
    start_time: datetime | None
    end_time: datetime | None
    receipt: Receipt | None
    """Of its terminal event."""
    outcome: ReportedOutcome | None
    cancel: RequestedCancel | None
    rollback: str
    """The id of the release that rolls this one back: the first, if it was tried again; empty for none."""
    commands: tuple[CommandRecord, ...] = field(default=())

    @classmethod
    def from_row(
        cls,
        row: sqlite3.Row,
        accepted: ReleaseAccepted,
        resolved: CommandsResolved | None,
        commands: tuple[CommandRecord, ...],
    ) -> "ReleaseRecord":
        """From a row of releases, the events that accepted it and said what it runs, and its commands."""
        spec = accepted.spec
        if resolved:
            spec = msgspec.structs.replace(spec, commands=resolved.commands)
        failure = None
        if row["cause"] is not None:
            failure = Failure(
                cause=Cause(row["cause"]),
                message=row["message"],
                command_index=row["failed_index"],
            )
        receipt = None
        if row["end_digest"] is not None:
            receipt = Receipt(row["end_sequence"], row["end_digest"])
        return cls(
            release_id=row["release_id"],
            accept_sequence=row["accept_sequence"],
            last_sequence=row["last_sequence"],
            spec=spec,
            commands_known=spec.settings is None or resolved is not None,
            caller=accepted.caller,
            request_digest=accepted.request_digest,
            with_secrets=accepted.with_secrets,
            accepted_at=accepted.at,
            state=ReleaseState(row["state"]),
            failure=failure,
            image_id=row["image_id"],
            image_digest=row["image_digest"],
            container_id=row["container_id"],
            container_name=row["container_name"],
            engine_version=row["engine_version"],
            create_time=as_time(row["create_time"]),
            start_time=_optional_time(row["start_time"]),
            end_time=_optional_time(row["end_time"]),
            receipt=receipt,
            outcome=_outcome(row),
            cancel=_cancel(row),
            rollback=row["rollback"] or "",
            commands=commands,
        )


def _outcome(row: sqlite3.Row) -> ReportedOutcome | None:
    if row["outcome"] is None:
        return None
    return ReportedOutcome(
        Outcome(row["outcome"]),
        row["outcome_reason"],
        as_time(row["outcome_time"]),
        msgspec.json.decode(row["outcome_caller"], type=Caller),
    )


def _cancel(row: sqlite3.Row) -> RequestedCancel | None:
    if row["cancel_time"] is None:
        return None
    return RequestedCancel(
        row["cancel_reason"],
        as_time(row["cancel_time"]),
        msgspec.json.decode(row["cancel_caller"] or "null", type=Caller | None),
    )
