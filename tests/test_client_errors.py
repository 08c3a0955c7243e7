"""What the Python client raises: each refusal by its own type, and a daemon that can't be reached."""

import socket
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from releasectl import (
    Aborted,
    AlreadyExists,
    DaemonUnreachable,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ReleaseClient,
    ReleaseEnded,
    ReleasephaseError,
    ResourceExhausted,
    StaleEtag,
    TargetBusy,
    Unavailable,
)
from support.scripted_service import Refusal, ScriptedService, serve
from support.story import NAME


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal(grpc.StatusCode.NOT_FOUND, reason="RELEASE_NOT_FOUND"), NotFound),
        (Refusal(grpc.StatusCode.PERMISSION_DENIED, reason="NOT_ALLOWED"), PermissionDenied),
        (Refusal(grpc.StatusCode.UNAUTHENTICATED, reason="NOT_KNOWN"), PermissionDenied),
        (Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST"), InvalidRequest),
        (Refusal(grpc.StatusCode.ALREADY_EXISTS, reason="REQUEST_ID_REUSED"), AlreadyExists),
        (Refusal(grpc.StatusCode.ABORTED, reason="TARGET_BUSY"), TargetBusy),
        (Refusal(grpc.StatusCode.ABORTED, reason="STALE_ETAG"), StaleEtag),
        (Refusal(grpc.StatusCode.ABORTED, reason="LOST_A_RACE"), Aborted),
        (Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason="RELEASE_ENDED"), ReleaseEnded),
        (Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason="SOMETHING"), FailedPrecondition),
        (Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, reason="DISK_FULL"), ResourceExhausted),
        (Refusal(grpc.StatusCode.UNAVAILABLE, reason="ENGINE_UNAVAILABLE"), Unavailable),
        (Refusal(grpc.StatusCode.UNAVAILABLE), DaemonUnreachable),
        (Refusal(grpc.StatusCode.DEADLINE_EXCEEDED), DaemonUnreachable),
        (Refusal(grpc.StatusCode.INTERNAL, reason="BUG"), ReleasephaseError),
    ],
    ids=lambda value: value.code.name if isinstance(value, Refusal) else value.__name__,
)
async def test_every_code_has_its_exception(
    service: ScriptedService, agent: ReleaseClient, refusal: Refusal, kind: type[ReleasephaseError]
) -> None:
    """A caller catches by type, and finds code and reason on the exception."""
    service.answer("GetRelease", refusal)
    with pytest.raises(ReleasephaseError) as caught:
        await agent.get_release(NAME)
    assert type(caught.value) is kind
    assert caught.value.code is refusal.code
    assert caught.value.reason == refusal.reason
    assert isinstance(caught.value.__cause__, grpc.RpcError)


async def test_an_error_carries_what_the_daemon_said(service: ScriptedService, agent: ReleaseClient) -> None:
    """Message, reason and metadata arrive as they were sent."""
    refusal = Refusal(grpc.StatusCode.ABORTED, "shop/live is busy", "TARGET_BUSY", {"running_release": NAME})
    service.answer("GetRelease", refusal)
    with pytest.raises(TargetBusy, match=r"^shop/live is busy$") as caught:
        await agent.get_release(NAME)
    assert caught.value.metadata == {"running_release": NAME}


async def test_an_invalid_request_lists_its_violations(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """Every field that is wrong is named."""
    violations = (("application", "must not be empty"), ("commands[1].label", "has two lines"))
    refusal = Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST", violations=violations)
    service.answer("GetRelease", refusal)
    with pytest.raises(InvalidRequest) as caught:
        await agent.get_release(NAME)
    assert caught.value.violations == violations


async def test_the_reason_of_another_domain_is_not_ours(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """Reasons mean something in their domain only."""
    refusal = Refusal(grpc.StatusCode.ABORTED, reason="TARGET_BUSY", domain="example.org")
    service.answer("GetRelease", refusal)
    with pytest.raises(Aborted) as caught:
        await agent.get_release(NAME)
    assert caught.value.reason == ""
    assert not isinstance(caught.value, TargetBusy)


async def test_a_call_without_an_answer_ends_at_its_timeout(service: ScriptedService) -> None:
    """A daemon that hangs does not hang its callers."""
    service.hang("GetStatus")
    async with ReleaseClient(service.socket, call_timeout=timedelta(milliseconds=50)) as agent:
        with pytest.raises(DaemonUnreachable, match="did not answer in time") as caught:
            await agent.get_status()
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_no_socket_says_so_in_plain_words(tmp_path: Path) -> None:
    """The error names the path and the kernel's reason."""
    async with ReleaseClient(tmp_path / "none.sock") as agent:
        with pytest.raises(DaemonUnreachable, match=r"none\.sock: No such file or directory") as caught:
            await agent.get_status()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


async def test_a_socket_that_nobody_listens_on_says_so(tmp_path: Path) -> None:
    """A stale socket is told from one that is not there."""
    async with serve(tmp_path / "old.sock") as service:
        pass
    with socket.socket(socket.AF_UNIX) as abandoned:
        abandoned.bind(str(service.socket))
    async with ReleaseClient(service.socket) as agent:
        with pytest.raises(DaemonUnreachable, match=r"old\.sock: Connection refused"):
            await agent.get_status()


async def test_a_socket_that_may_not_be_opened_is_permission_denied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is not in the socket's group is told so, not that there is no daemon."""

    def refuse(self: socket.socket, address: str) -> None:
        raise PermissionError(13, "Permission denied")  # root, who runs the tests, may open all

    monkeypatch.setattr("releasectl.rpc_errors.socket.socket.connect", refuse)
    async with ReleaseClient(tmp_path / "none.sock") as agent:
        with pytest.raises(PermissionDenied, match=r"not allowed to connect to .*none\.sock"):
            await agent.get_status()
