"""The exit codes."""

import pytest

from releasectl import exceptions
from releasectl.exit_codes import of_end, of_error
from releasephase.v1.release_event_pb2 import StateChanged
from releasephase.v1.release_pb2 import Failure, Release

_TIMED_OUT = {"CAUSE_COMMAND_TIMED_OUT", "CAUSE_RELEASE_TIMED_OUT", "CAUSE_QUEUE_TIMED_OUT"}


def test_a_release_that_succeeded_is_0() -> None:
    """The deployment may go on."""
    assert of_end(StateChanged(state=Release.STATE_SUCCEEDED)) == 0


def test_a_cancelled_release_is_6() -> None:
    """Somebody cancelled it."""
    assert of_end(StateChanged(state=Release.STATE_CANCELLED)) == 6


@pytest.mark.parametrize("cause", Failure.Cause.keys())
def test_a_failed_release_is_1_or_124(cause: str) -> None:
    """Whatever timed out is 124; every other failure is 1."""
    end = StateChanged(state=Release.STATE_FAILED, failure=Failure(cause=Failure.Cause.Value(cause)))
    assert of_end(end) == (124 if cause in _TIMED_OUT else 1)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exceptions.InvalidRequest, 2),
        (exceptions.AlreadyExists, 2),
        (exceptions.NotFound, 3),
        (exceptions.PermissionDenied, 4),
        (exceptions.DaemonUnreachable, 5),
        (exceptions.Unavailable, 5),
        (exceptions.TargetBusy, 1),
        (exceptions.ReleaseEnded, 1),
        (exceptions.ResourceExhausted, 1),
        (exceptions.ReleasephaseError, 1),
    ],
)
def test_every_error_has_its_code(error: type[exceptions.ReleasephaseError], code: int) -> None:
    """A script can tell what kind of problem it met."""
    assert of_error(error("no")) == code
