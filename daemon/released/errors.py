"""What can be refused or go wrong, as the application sees it.

Foreign exceptions (the engine's, SQLite's) are translated where they arise, at
the edge; RPC handlers translate these into gRPC statuses, in one place. A failing
release command is no error but a recorded result::

    ApplicationError            a code, a reason and metadata for the caller
    ├── RefusedFields           with a violation for each field
    │   ├── InvalidRequest      INVALID_ARGUMENT
    │   └── PolicyViolation     PERMISSION_DENIED
    ├── PermissionDenied        PERMISSION_DENIED
    ├── NotFound                NOT_FOUND
    ├── AlreadyExists           ALREADY_EXISTS
    ├── FailedPrecondition      FAILED_PRECONDITION
    ├── Aborted                 ABORTED
    ├── ResourceExhausted       RESOURCE_EXHAUSTED
    └── Unavailable             UNAVAILABLE
    StartupError                the daemon can't start; the message says what to do
    ├── ConfigError             because of its configuration
    └── StoredDataError         because of what is stored, which does not get better by trying again
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import grpc


class Violation(NamedTuple):
    """What is wrong with one field of a request."""

    field: str
    description: str


class ApplicationError(Exception):
    """Something a caller must be told: a canonical code, an UPPER_SNAKE reason, a message."""

    code: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN

    def __init__(self, reason: str, message: str, metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata = dict(metadata or {})


class RefusedFields(ApplicationError):
    """Fields of the request are refused; all of them are named at once."""

    reason_for_all: ClassVar[str]

    def __init__(self, violations: Sequence[Violation]) -> None:
        message = "; ".join(f"{field}: {description}" for field, description in violations)
        super().__init__(self.reason_for_all, message)
        self.violations = tuple(violations)


class InvalidRequest(RefusedFields):
    """Fields of the request are wrong, and others may be refused by the policy."""

    code = grpc.StatusCode.INVALID_ARGUMENT
    reason_for_all = "INVALID_REQUEST"


class PolicyViolation(RefusedFields):
    """The policy does not allow the request."""

    code = grpc.StatusCode.PERMISSION_DENIED
    reason_for_all = "POLICY_VIOLATION"


class PermissionDenied(ApplicationError):
    """The caller may not do what it asks for."""

    code = grpc.StatusCode.PERMISSION_DENIED


class NotFound(ApplicationError):
    """What the request names does not exist."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(ApplicationError):
    """What the request would create exists already, and differs."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(ApplicationError):
    """The state of the resource does not allow the request."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(ApplicationError):
    """The request conflicts with another one under way."""

    code = grpc.StatusCode.ABORTED


class ResourceExhausted(ApplicationError):
    """There is no room for what the request needs."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(ApplicationError):
    """The request may be repeated later."""

    code = grpc.StatusCode.UNAVAILABLE


class StartupError(Exception):
    """The daemon can't start. The message says what happened, where, and what to do."""


class ConfigError(StartupError):
    """The configuration can't be used. The message names the file and the key."""


class StoredDataError(StartupError):
    """The audit log or its key is damaged, a newer version's or another program's: somebody has to act."""
