"""Runs of commands in the past, written by the log's own writer."""

from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from released.audit.log import AuditLog
from released.audit.times import as_microseconds
from released.model.events import CommandFinished, CommandStarted, StateChanged
from released.model.release import Target
from released.model.states import CommandState, ReleaseState
from support.samples import a_command, accepted

SHOP = Target("shop", "live")
BEGIN = datetime(2026, 1, 31, 12, tzinfo=UTC)


async def record_run(
    audit: AuditLog,
    number: int,
    took: float,
    state: CommandState = CommandState.SUCCEEDED,
    label: str = "migrate",
    target: Target = SHOP,
) -> None:
    """Record a release with one run of so many seconds: each an hour after the one before."""
    start = BEGIN + timedelta(hours=number)
    end = start + timedelta(seconds=took)
    application, environment = target
    spec = accepted(application=application, environment=environment, commands=(a_command(label),))
    ended = CommandFinished(command_index=0, state=state, exit_code=0, end_time=end)
    with patch("time.time_ns", return_value=as_microseconds(start) * 1000):
        await audit.append(
            f"{target} {number}",
            spec,
            CommandStarted(command_index=0),
            ended,
            StateChanged(state=ReleaseState.SUCCEEDED),
        )
