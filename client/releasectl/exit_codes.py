"""What the command line says to the shell."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from .exceptions import (
    AlreadyExists,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ReleasephaseError,
    Unavailable,
)

if TYPE_CHECKING:
    from releasephase.v1 import release_event_pb2


class ExitCode(IntEnum):
    """The exit codes of releasectl."""

    OK = 0
    FAILED = 1
    """The release failed, or the daemon refused for a reason that is not below."""
    USAGE = 2
    NOT_FOUND = 3
    PERMISSION_DENIED = 4
    UNREACHABLE = 5
    CANCELLED = 6
    UNCHECKED = 7
    """The audit log is sound, and some receipts are of events that were removed from it."""
    TIMED_OUT = 124
    """As timeout(1) does."""
    INTERRUPTED = 130
    """128 + SIGINT, as the shell does."""
    BROKEN_PIPE = 141
    """128 + SIGPIPE: nobody reads any more, so that the result is not known."""


_BY_ERROR = (
    ((InvalidRequest, AlreadyExists), ExitCode.USAGE),
    (NotFound, ExitCode.NOT_FOUND),
    (PermissionDenied, ExitCode.PERMISSION_DENIED),
    (Unavailable, ExitCode.UNREACHABLE),
)


def of_error(error: ReleasephaseError) -> ExitCode:
    """Return the exit code for a call that could not be answered."""
    return next((code for kinds, code in _BY_ERROR if isinstance(error, kinds)), ExitCode.FAILED)


def of_end(end: release_event_pb2.StateChanged) -> ExitCode:
    """Return the exit code for a release that reached a terminal state."""
    from releasephase.v1.release_pb2 import Failure, Release

    if end.state == Release.STATE_SUCCEEDED:
        return ExitCode.OK
    if end.state == Release.STATE_CANCELLED:
        return ExitCode.CANCELLED
    timed_out = (
        Failure.CAUSE_COMMAND_TIMED_OUT,
        Failure.CAUSE_RELEASE_TIMED_OUT,
        Failure.CAUSE_QUEUE_TIMED_OUT,
    )
    return ExitCode.TIMED_OUT if end.failure.cause in timed_out else ExitCode.FAILED
