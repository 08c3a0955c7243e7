"""How a release ends, and the words for it."""

import pytest

from released.model.events import CommandFinished, Failure
from released.model.states import Cause, CommandState, ReleaseState
from released.release.verdict import (
    Stop,
    command_state,
    explain_exit,
    failed,
    signal_name,
    signal_of,
    stopped,
    stopped_for,
)

FINISHED = CommandFinished(command_index=2, state=CommandState.CANCELLED, exit_code=143, signal=15)


@pytest.mark.parametrize(
    ("exit_status", "words"),
    [
        (1, "the command ended with exit code 1"),
        (2, "the command ended with exit code 2"),
        (125, "the command ended with exit code 125"),
        (126, "the command could not be executed (exit code 126): check its permissions and its format"),
        (127, "the command was not found (exit code 127): check its name, and PATH in the image"),
        (128, "the command ended with exit code 128"),
        (129, "the command was ended by SIGHUP (exit code 129)"),
        (137, "the command was ended by SIGKILL (exit code 137)"),
        (139, "the command was ended by SIGSEGV (exit code 139)"),
        (143, "the command was ended by SIGTERM (exit code 143)"),
        (128 + 40, "the command was ended by signal 40 (exit code 168)"),
        (192, "the command was ended by SIGRTMAX (exit code 192)"),
        (193, "the command ended with exit code 193"),
        (255, "the command ended with exit code 255"),
    ],
)
def test_exit_statuses_are_told_apart(exit_status: int, words: str) -> None:
    """Not found, not executable, killed, and everything else."""
    assert explain_exit(exit_status) == words


@pytest.mark.parametrize(
    ("exit_status", "number"), [(0, 0), (1, 0), (127, 0), (128, 0), (129, 1), (137, 9), (192, 64), (193, 0)]
)
def test_signal_of_an_exit_status(exit_status: int, number: int) -> None:
    """By the shell's convention, for as many signals as Linux has."""
    assert signal_of(exit_status) == number


def test_signal_without_a_name() -> None:
    """Its number will do."""
    assert [signal_name(number) for number in (15, 50, 99)] == ["SIGTERM", "signal 50", "signal 99"]


def test_failed_release_names_its_cause_and_command() -> None:
    """Both for programs and for people."""
    verdict = failed(Cause.COMMAND_FAILED, "it failed", 3)
    assert verdict.state is ReleaseState.FAILED
    assert verdict.failure == Failure(cause=Cause.COMMAND_FAILED, message="It failed.", command_index=3)
    assert verdict.stopped_command is None


def test_cancelled_release_has_no_failure() -> None:
    """It is what somebody wanted."""
    verdict = stopped_for(None, "", FINISHED)
    assert (verdict.state, verdict.failure) == (ReleaseState.CANCELLED, None)
    assert verdict.stopped_command == FINISHED


def test_release_that_exceeded_its_timeout_names_the_command_under_way() -> None:
    """If one was."""
    stop = Stop.RELEASE_TIMED_OUT
    during, before = stopped_for(stop.cause, stop.value, FINISHED), stopped(stop)
    message = "The release exceeded its timeout."
    assert during.failure == Failure(cause=Cause.RELEASE_TIMED_OUT, message=message, command_index=2)
    assert before.failure == Failure(cause=Cause.RELEASE_TIMED_OUT, message=message)
    assert {during.state, before.state} == {ReleaseState.FAILED}


def test_state_of_a_stopped_command() -> None:
    """Cancelled only if somebody cancelled the release."""
    assert command_state(Stop.CANCELLED.cause) is CommandState.CANCELLED
    assert command_state(Stop.RELEASE_TIMED_OUT.cause) is CommandState.TIMED_OUT
    assert command_state(Cause.COMMAND_TIMED_OUT) is CommandState.TIMED_OUT
