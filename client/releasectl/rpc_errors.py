"""Translates the errors of gRPC into our own. The only place that does."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from .exceptions import (
    Aborted,
    AlreadyExists,
    DaemonUnreachable,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ReleaseEnded,
    ReleasephaseError,
    ResourceExhausted,
    StaleEtag,
    TargetBusy,
    Unavailable,
    Violation,
)

DOMAIN = "releasephase"

_BY_CODE: Mapping[grpc.StatusCode, type[ReleasephaseError]] = {
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    # The daemon gave the call up; we never see our own cancellation here.
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.UNAUTHENTICATED: PermissionDenied,
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.ABORTED: Aborted,
    grpc.StatusCode.FAILED_PRECONDITION: FailedPrecondition,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ResourceExhausted,
}
_BY_REASON: Mapping[str, type[ReleasephaseError]] = {
    "TARGET_BUSY": TargetBusy,
    "STALE_ETAG": StaleEtag,
    "RELEASE_ENDED": ReleaseEnded,
}


def translate(error: grpc.aio.AioRpcError, socket_path: Path) -> ReleasephaseError:
    """Return our own error for one of gRPC's, seen on the daemon's socket."""
    code, message = error.code(), error.details() or error.code().name
    info, violations = _details_of(error)
    if code is grpc.StatusCode.UNAVAILABLE and not info.reason:
        return _unreachable(socket_path, message)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DaemonUnreachable(f"the daemon on {socket_path} did not answer in time", code=code)
    kind = _BY_REASON.get(info.reason) or _BY_CODE.get(code, ReleasephaseError)
    return kind(message, code=code, reason=info.reason, metadata=info.metadata, violations=violations)


def _details_of(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo, list[Violation]]:
    info, bad_request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]  # it only reads what both calls have
    for detail in status.details if status is not None else ():
        if detail.Is(info.DESCRIPTOR):
            found = error_details_pb2.ErrorInfo()
            detail.Unpack(found)
            info = found if found.domain == DOMAIN else info
        detail.Unpack(bad_request)
    return info, [Violation(each.field, each.description) for each in bad_request.field_violations]


def _unreachable(socket_path: Path, message: str) -> ReleasephaseError:
    """Say why nobody answers. gRPC's own words bury the reason; the kernel's are plain."""
    code = grpc.StatusCode.UNAVAILABLE
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(str(socket_path))
        except PermissionError:
            return PermissionDenied(f"not allowed to connect to {socket_path}", code=code)
        except OSError as reason:
            return DaemonUnreachable(
                f"no daemon answers on {socket_path}: {reason.strerror or reason}", code=code
            )
    return DaemonUnreachable(f"lost the connection to the daemon on {socket_path}: {message}", code=code)
