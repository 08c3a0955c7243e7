"""The states of releases and commands, the causes of failure, and which state may follow which."""

from enum import StrEnum
from typing import Final


class ReleaseState(StrEnum):
    """Where a release stands."""

    QUEUED = "QUEUED"
    PREPARING = "PREPARING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_terminal(self) -> bool:
        """Whether nothing follows it."""
        return self in TERMINAL_STATES

    def check_transition(self, to: "ReleaseState") -> None:
        """Raise unless `to` may follow this state."""
        if self not in SOURCES[to]:
            raise IllegalTransition(f"a release can't become {to} from {self}")


TERMINAL_STATES: Final = frozenset(
    {ReleaseState.SUCCEEDED, ReleaseState.FAILED, ReleaseState.CANCELLED},
)

SOURCES: Final[dict[ReleaseState, frozenset[ReleaseState]]] = {
    ReleaseState.QUEUED: frozenset(),
    ReleaseState.PREPARING: frozenset({ReleaseState.QUEUED}),
    ReleaseState.RUNNING: frozenset({ReleaseState.PREPARING}),
    # From PREPARING when there is nothing to run; from QUEUED when that is known from the beginning.
    ReleaseState.SUCCEEDED: frozenset({ReleaseState.QUEUED, ReleaseState.PREPARING, ReleaseState.RUNNING}),
    ReleaseState.FAILED: frozenset({ReleaseState.QUEUED, ReleaseState.PREPARING, ReleaseState.RUNNING}),
    ReleaseState.CANCELLED: frozenset({ReleaseState.QUEUED, ReleaseState.PREPARING, ReleaseState.RUNNING}),
}
"""The states from which each state may be reached."""


class IllegalTransition(Exception):
    """A state can't follow the one before: a defect of the daemon."""


class CommandState(StrEnum):
    """Where a release command stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"


class Cause(StrEnum):
    """Why a release failed."""

    COMMAND_FAILED = "COMMAND_FAILED"
    COMMAND_TIMED_OUT = "COMMAND_TIMED_OUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    IMAGE_UNAVAILABLE = "IMAGE_UNAVAILABLE"
    CONTAINER_FAILED = "CONTAINER_FAILED"
    ENGINE_LOST = "ENGINE_LOST"
    INTERRUPTED = "INTERRUPTED"
    QUEUE_TIMED_OUT = "QUEUE_TIMED_OUT"
    RELEASE_TIMED_OUT = "RELEASE_TIMED_OUT"
    COMMANDS_INVALID = "COMMANDS_INVALID"


class Outcome(StrEnum):
    """What became of a deployment after its release phase."""

    DEPLOYED = "DEPLOYED"
    ABANDONED = "ABANDONED"


class Source(StrEnum):
    """Where a release command was declared."""

    REQUEST = "REQUEST"
    SETTINGS = "SETTINGS"
    IMAGE = "IMAGE"
    PROCFILE = "PROCFILE"


class PullPolicy(StrEnum):
    """When an image is pulled."""

    ALWAYS = "ALWAYS"
    MISSING = "MISSING"
    NEVER = "NEVER"


class OnBusy(StrEnum):
    """What becomes of a request whose lane is busy."""

    QUEUE = "QUEUE"
    REJECT = "REJECT"


class ContainerMode(StrEnum):
    """Which release commands share a container."""

    PER_RELEASE = "PER_RELEASE"
    PER_COMMAND = "PER_COMMAND"


class Stream(StrEnum):
    """Which of a process's output streams."""

    STDOUT = "STDOUT"
    STDERR = "STDERR"
