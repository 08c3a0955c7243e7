"""A log of two releases that failed, for tests of what is made of it."""

import sqlite3
from contextlib import closing
from pathlib import Path

from released.model.events import (
    Body,
    CommandFinished,
    CommandOutput,
    CommandStarted,
    ConfigurationReloaded,
    ContainerCreated,
    Failure,
    ImageResolved,
    StateChanged,
)
from released.model.receipt import Receipt
from released.model.states import Cause, CommandState, ReleaseState, Stream
from support import audit_log
from support.samples import OTHER_RELEASE, RELEASE, accepted

OUTPUT = CommandOutput(stream=Stream.STDOUT, command_index=0)
BEFORE_OUTPUT: tuple[Body, ...] = (
    accepted("a", "b", labels={"team": "ä", "a": "1"}),
    StateChanged(state=ReleaseState.PREPARING),
    ImageResolved(image_id="i"),
    ContainerCreated(container_id="c", container_name="n"),
    StateChanged(state=ReleaseState.RUNNING),
    CommandStarted(command_index=0),
)
AFTER_OUTPUT: tuple[Body, ...] = (
    CommandFinished(command_index=0, state=CommandState.FAILED, exit_code=1),
    CommandFinished(command_index=1, state=CommandState.SKIPPED),
    StateChanged(
        state=ReleaseState.FAILED,
        failure=Failure(cause=Cause.COMMAND_FAILED, message="it failed", command_index=0),
    ),
)
EVENTS = 21
"""A release of ten events, the seventh with output; another one; and one of the daemon itself."""


async def two_releases(path: Path) -> Path:
    """Write the log at `path`, and return that."""
    async with audit_log.opened(path) as audit:
        for release_id in (RELEASE, OTHER_RELEASE):
            audit.append(release_id, *BEFORE_OUTPUT)
            audit.append_output(release_id, [(OUTPUT, b"x" * 50_000)])
            audit.append(release_id, *AFTER_OUTPUT)
        await audit.append_own(ConfigurationReloaded())
    return path


def receipt_of(path: Path, sequence: int) -> Receipt:
    with closing(sqlite3.connect(path)) as connection:
        sql = "SELECT sequence, digest FROM events WHERE sequence = ?"
        return Receipt(*connection.execute(sql, (sequence,)).fetchone())
