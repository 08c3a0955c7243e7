"""Trying a release again with `releasectl retry` and with the library, against a scripted service."""

from uuid import UUID

import grpc
import pytest

from releasectl import FailedPrecondition, InvalidRequest, ReleaseClient
from releasectl.options import RegistryAuth
from releasephase.v1.release_service_pb2 import EnvironmentVariable, RetryReleaseRequest
from support.command_line import releasectl
from support.scripted_service import CONNECTION_LOST, Refusal, ScriptedService
from support.story import NAME, Story, a_failure, a_success

FIRST = "01939d3b-0000-7000-8000-000000000001"


async def test_retry_is_followed_as_a_run(service: ScriptedService) -> None:
    """Its log, its exit code; with all that can be said of it."""
    story, events = a_failure()
    service.answer("RetryRelease", story.release)
    service.stream(*events)
    result = await releasectl(
        service.socket,
        *("retry", FIRST, "--from-start", "--env", "STAGE=live", "--secret", "TOKEN=geheim"),
        *("--registry-user", "robot", "--registry-password-stdin", "--requested-by", "Ada"),
        *("--request-id", "b7e4a2f0-0000-4000-8000-000000000000"),
        stdin=b"password\n",
    )
    assert result.exit_code == 1
    assert result.stdout.startswith(b"===== docker release commands =====\n\nRunning migrate...\n")
    expected = RetryReleaseRequest(
        name=f"releases/{FIRST}",
        from_start=True,
        env=[
            EnvironmentVariable(name="STAGE", value="live"),
            EnvironmentVariable(name="TOKEN", value="geheim", secret=True),
        ],
        request_id="b7e4a2f0-0000-4000-8000-000000000000",
        requested_by="Ada",
    )
    expected.registry_auth.username = "robot"
    expected.registry_auth.password = "password"
    assert service.requests[0] == expected
    assert service.requests[1].name == NAME


async def test_retry_that_is_not_waited_for(service: ScriptedService) -> None:
    """Its name is all that is printed."""
    service.answer("RetryRelease", Story("migrate").release)
    result = await releasectl(service.socket, "retry", FIRST, "--detach")
    assert (result.exit_code, result.stdout) == (0, f"{NAME}\n".encode())


@pytest.mark.parametrize(
    ("refusal", "exit_code", "message"),
    [
        (
            Refusal(grpc.StatusCode.FAILED_PRECONDITION, "nothing", "NOTHING_TO_RETRY"),
            1,
            "releasectl: nothing\n",
        ),
        (
            Refusal(
                grpc.StatusCode.INVALID_ARGUMENT, "bad", "INVALID_REQUEST", violations=(("env", "must"),)
            ),
            2,
            "--env or --secret: must\n",
        ),
    ],
)
async def test_retry_that_is_refused(
    service: ScriptedService, refusal: Refusal, exit_code: int, message: str
) -> None:
    """As any other refusal."""
    service.answer("RetryRelease", refusal)
    result = await releasectl(service.socket, "retry", FIRST)
    assert (result.exit_code, result.stderr) == (exit_code, message)


async def test_help_warns_of_what_runs_twice(service: ScriptedService) -> None:
    """Of a command that was interrupted nobody knows how far it got."""
    result = await releasectl(service.socket, "retry", "--help")
    words = " ".join(result.stdout.decode().split())
    assert "INTERRUPTED or lost its engine: it may have done all its work already" in words


async def test_library_repeats_a_retry_that_was_not_answered(service: ScriptedService) -> None:
    """By its request_id it is one release all the same."""
    story, _ = a_success()
    service.answer("RetryRelease", CONNECTION_LOST, story.release)
    async with ReleaseClient(service.socket) as client:
        release = await client.retry_release(
            NAME, env={"A": "1"}, registry_auth=RegistryAuth(identity_token="t")
        )
    assert release == story.release
    first, second = service.requests
    assert first == second
    assert UUID(first.request_id)
    assert first.registry_auth.identity_token == "t"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, FailedPrecondition),
        (grpc.StatusCode.INVALID_ARGUMENT, InvalidRequest),
    ],
)
async def test_library_raises_what_it_is_refused_with(
    service: ScriptedService, code: grpc.StatusCode, kind: type[Exception]
) -> None:
    """By its code."""
    service.answer("RetryRelease", Refusal(code, reason="SOMETHING"))
    async with ReleaseClient(service.socket) as client:
        with pytest.raises(kind):
            await client.retry_release(NAME)
