"""How a release ends, and the words for it."""

import signal
from enum import Enum

import msgspec

from released.model.events import CommandFinished, Failure
from released.model.states import Cause, CommandState, ReleaseState


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A release's terminal state, and what is to be recorded with it."""

    state: ReleaseState
    failure: Failure | None = None
    stopped_command: CommandFinished | None = None
    """The command that was stopped: it is reported once its container is gone."""


class Concluded(Exception):
    """The work on a release ends here, with this verdict."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict)
        self.verdict = verdict


class Stop(Enum):
    """Why a release is stopped from outside its commands."""

    CANCELLED = "the release was cancelled"
    RELEASE_TIMED_OUT = "the release exceeded its timeout"
    UNRECORDABLE = "what the release does can't be recorded any more: the audit log can't be written"

    @property
    def cause(self) -> Cause | None:
        """What the release has failed for; None: it has not failed."""
        return _CAUSES[self]


_CAUSES = {
    Stop.CANCELLED: None,
    Stop.RELEASE_TIMED_OUT: Cause.RELEASE_TIMED_OUT,
    Stop.UNRECORDABLE: Cause.INTERRUPTED,
}

LAST_SIGNAL = 64
"""SIGRTMAX, signal(7)."""

SUCCEEDED = Verdict(state=ReleaseState.SUCCEEDED)


def failed(
    cause: Cause,
    message: str,
    command_index: int | None = None,
    stopped_command: CommandFinished | None = None,
) -> Verdict:
    """The verdict on a release that failed; the message is made a sentence."""
    sentence = message[:1].upper() + message[1:].rstrip(".") + "."
    return Verdict(
        state=ReleaseState.FAILED,
        failure=Failure(cause=cause, message=sentence, command_index=command_index),
        stopped_command=stopped_command,
    )


def with_remark(verdict: Verdict, sentence: str) -> Verdict:
    """The same verdict on a failed release, with one more sentence, if it is one, in its message."""
    if verdict.failure is None or not sentence:
        return verdict
    failure = msgspec.structs.replace(verdict.failure, message=f"{verdict.failure.message} {sentence}")
    return msgspec.structs.replace(verdict, failure=failure)


def stopped(stop: Stop) -> Verdict:
    """The verdict on a release that was stopped while no command ran."""
    return stopped_for(stop.cause, stop.value)


def stopped_for(cause: Cause | None, reason: str, command: CommandFinished | None = None) -> Verdict:
    """The verdict on a release that was stopped, perhaps while a command ran; no cause: cancelled."""
    if cause is None:
        return Verdict(state=ReleaseState.CANCELLED, stopped_command=command)
    return failed(cause, reason, command.command_index if command else None, command)


def command_state(cause: Cause | None) -> CommandState:
    """The state of a command that was stopped; no cause: the release was cancelled."""
    if cause is None:
        return CommandState.CANCELLED
    return CommandState.FAILED if cause is Cause.INTERRUPTED else CommandState.TIMED_OUT


def signal_of(exit_status: int) -> int:
    """The signal that an exit status stands for by the shell's convention, 0 for none.

    POSIX, Shell Command Language, 2.8.2: greater than 128; every shell here adds the number.
    """
    return exit_status - 128 if 128 < exit_status <= 128 + LAST_SIGNAL else 0


def explain_exit(exit_status: int) -> str:
    """Say what an exit status other than 0 means."""
    if exit_status == 126:
        return "the command could not be executed (exit code 126): check its permissions and its format"
    if exit_status == 127:
        return "the command was not found (exit code 127): check its name, and PATH in the image"
    if number := signal_of(exit_status):
        return f"the command was ended by {signal_name(number)} (exit code {exit_status})"
    return f"the command ended with exit code {exit_status}"


def signal_name(number: int) -> str:
    """SIGKILL for 9."""
    return _NAMES.get(number, f"signal {number}")  # most real-time signals have no name of their own


_NAMES = {number.value: number.name for number in signal.Signals}
