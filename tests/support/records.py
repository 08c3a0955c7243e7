"""What the audit log would say of a release that has ended."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from released.audit.records import CommandRecord, ReleaseRecord
from released.model.events import Failure
from released.model.release import Command
from released.model.states import Cause, CommandState, ReleaseState
from support.samples import CALLER, RELEASE, a_spec

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)

EXIT_CODES = {CommandState.SUCCEEDED: 0, CommandState.FAILED: 1}


def a_run(index: int, state: CommandState, *, unseen: bool = False) -> CommandRecord:
    """A command that ended with 0 or 1, or otherwise; `unseen`: nobody knows how."""
    return CommandRecord(
        index=index,
        state=state,
        exit_code=None if unseen else EXIT_CODES.get(state),
        signal=0,
        start_time=None,
        end_time=None,
        stdout_bytes=0,
        stderr_bytes=0,
        omitted_bytes=0,
    )


def a_record(
    commands: tuple[Command, ...],
    states: Sequence[CommandState],
    *,
    release_id: str = RELEASE,
    state: ReleaseState = ReleaseState.FAILED,
    failed_index: int | None = None,
    known: bool = True,
    unseen: Collection[int] = (),
    rollback: str = "",
    **spec: Any,
) -> ReleaseRecord:
    """A release with commands that are in these states; it has failed, if not otherwise said."""
    settings = None if known else ()
    return ReleaseRecord(
        release_id=release_id,
        accept_sequence=1,
        last_sequence=9,
        spec=msgspec.structs.replace(a_spec(**spec), commands=commands, settings=settings),
        commands_known=known,
        caller=CALLER,
        request_digest="",
        with_secrets=False,
        accepted_at=None,
        state=state,
        failure=Failure(cause=Cause.COMMAND_FAILED, message="It failed.", command_index=failed_index)
        if state is ReleaseState.FAILED
        else None,
        image_id="sha256:" + "1" * 64,
        image_digest="",
        container_id="",
        container_name="",
        engine_version="",
        create_time=NOW,
        start_time=NOW,
        end_time=NOW,
        receipt=None,
        outcome=None,
        cancel=None,
        rollback=rollback,
        commands=tuple(a_run(index, each, unseen=index in unseen) for index, each in enumerate(states)),
    )
