"""What can go wrong between a caller and the daemon.

A release that fails is no exception: it is a release whose state is FAILED. These
are raised when a call could not be answered::

    ReleasephaseError
    ├── Unavailable             UNAVAILABLE: not now (ENGINE_UNAVAILABLE, DRAINING, SHUTTING_DOWN)
    │   └── DaemonUnreachable   nobody answers on the socket
    ├── PermissionDenied        PERMISSION_DENIED (POLICY_VIOLATION: `violations` says what is refused),
    │                           or the socket may not be opened
    ├── NotFound                NOT_FOUND (RELEASE_NOT_FOUND, COMMAND_NOT_FOUND)
    ├── InvalidRequest          INVALID_ARGUMENT; `violations` says what is wrong where
    ├── AlreadyExists           ALREADY_EXISTS (REQUEST_ID_REUSED, LABEL_TAKEN)
    ├── Aborted                 ABORTED
    │   ├── TargetBusy          TARGET_BUSY
    │   └── StaleEtag           STALE_ETAG
    ├── FailedPrecondition      FAILED_PRECONDITION (RELEASE_NOT_ENDED, OUTCOME_REPORTED,
    │   │                       NOTHING_TO_RETRY, ALREADY_RETRIED, NEWER_RELEASE,
    │   │                       ROLLBACK_NOT_ENDED, ROLLBACK_FAILED)
    │   └── ReleaseEnded        RELEASE_ENDED
    └── ResourceExhausted       RESOURCE_EXHAUSTED: too large, or no room left

An error with a code that is not in this tree is a plain ReleasephaseError.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import grpc


class Violation(NamedTuple):
    """What is wrong with one field of a request."""

    field: str
    """The path of the field, such as ``commands[1].label``."""
    description: str
    """What is wrong with it."""


class ReleasephaseError(Exception):
    """A call that the daemon refused or could not answer.

    ``str(error)`` is for a person; `reason` and `metadata` are for programs.
    """

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode | None = None,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        """The gRPC status code; None if no call was made."""
        self.reason = reason
        """google.rpc.ErrorInfo.reason in the domain ``releasephase``, or empty."""
        self.metadata = dict(metadata or {})
        """google.rpc.ErrorInfo.metadata."""
        self.violations = tuple(violations)
        """One for each field that was refused, for its form or by the operator's policy."""


class Unavailable(ReleasephaseError):
    """The daemon can't do it now; nothing was accepted. Try again later."""


class DaemonUnreachable(Unavailable):
    """Nobody answers on the daemon's socket."""


class PermissionDenied(ReleasephaseError):
    """The caller may not do this, or may not open the daemon's socket."""


class NotFound(ReleasephaseError):
    """There is no such release, or no such command in the settings."""


class InvalidRequest(ReleasephaseError):
    """The request is malformed; nothing was stored. `violations` has one for each field that is wrong."""


class AlreadyExists(ReleasephaseError):
    """The request_id came before with another body, or another command has the label."""


class Aborted(ReleasephaseError):
    """The call lost against something that is under way."""


class TargetBusy(Aborted):
    """The target has a release under way and the request said OnBusy.REJECT."""


class StaleEtag(Aborted):
    """The application's settings were changed since they were read. Read them again, and decide anew."""


class FailedPrecondition(ReleasephaseError):
    """What was asked for is not possible in the present state."""


class ReleaseEnded(FailedPrecondition):
    """The release has ended and can't be cancelled any more."""


class ResourceExhausted(ReleasephaseError):
    """The request is too large, or the daemon has no room to accept it."""
