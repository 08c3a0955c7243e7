"""The Python client, against a scripted service on a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import grpc
import pytest

from releasectl import (
    Aborted,
    AlreadyExists,
    Command,
    DaemonUnreachable,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    ReleaseClient,
    ReleaseEnded,
    ReleasephaseError,
    ResourceExhausted,
    TargetBusy,
    Unavailable,
    client,
)
from releasephase.v1.daemon_service_pb2 import DaemonStatus, DrainProgress
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import OUTCOME_DEPLOYED, Release
from releasephase.v1.release_service_pb2 import ListReleasesResponse
from support.scripted_service import CONNECTION_LOST, Refusal, ScriptedService, serve
from support.story import NAME, Story, a_failure, a_success

AT_ONCE = (timedelta(0),) * 3


@pytest.fixture
async def agent(service: ScriptedService) -> AsyncIterator[ReleaseClient]:
    async with ReleaseClient(service.socket, start_retries=AT_ONCE, watch_retries=AT_ONCE) as agent:
        yield agent


async def watched(agent: ReleaseClient, after_sequence: int = 0) -> list[ReleaseEvent]:
    return [event async for event in agent.watch_release(NAME, after_sequence)]


async def test_start_release_returns_the_accepted_release(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """A release that was accepted is returned as the daemon sent it."""
    service.answer("StartRelease", Release(name=NAME, state=Release.STATE_QUEUED))
    release = await agent.start_release("shop/live", "shop:42", commands=[Command("migrate", "./migrate")])
    assert release == Release(name=NAME, state=Release.STATE_QUEUED)
    (request,) = service.requests
    assert (request.application, request.environment, request.image) == ("shop", "live", "shop:42")


async def test_every_start_gets_a_request_id_of_its_own(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """Two releases started with the same arguments are two releases."""
    service.answer("StartRelease", Release(name=NAME))
    await agent.start_release("shop/live", "shop:42")
    await agent.start_release("shop/live", "shop:42")
    first, second = (UUID(request.request_id) for request in service.requests)
    assert first != second


async def test_a_retried_start_repeats_its_request_id(service: ScriptedService, agent: ReleaseClient) -> None:
    """A start that is tried again while the daemon is unavailable can't start a second release."""
    shutting_down = Refusal(grpc.StatusCode.UNAVAILABLE, reason="SHUTTING_DOWN")
    service.answer("StartRelease", CONNECTION_LOST, shutting_down, Release(name=NAME))
    assert (await agent.start_release("shop/live", "shop:42")).name == NAME
    assert len(service.requests) == 3
    assert len({request.request_id for request in service.requests}) == 1


async def test_a_start_gives_up_when_the_daemon_stays_unavailable(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """The number of attempts is bounded, and the last error is raised."""
    service.answer("StartRelease", Refusal(grpc.StatusCode.UNAVAILABLE, reason="ENGINE_UNAVAILABLE"))
    with pytest.raises(Unavailable) as caught:
        await agent.start_release("shop/live", "shop:42")
    assert caught.value.reason == "ENGINE_UNAVAILABLE"
    assert not isinstance(caught.value, DaemonUnreachable)
    assert len(service.requests) == 1 + len(AT_ONCE)


async def test_a_refused_start_is_not_tried_again(service: ScriptedService, agent: ReleaseClient) -> None:
    """Only unavailability is worth another attempt."""
    service.answer("StartRelease", Refusal(grpc.StatusCode.ABORTED, reason="TARGET_BUSY"))
    with pytest.raises(TargetBusy):
        await agent.start_release("shop/live", "shop:42")
    assert len(service.requests) == 1


async def test_a_watch_yields_all_events(service: ScriptedService, agent: ReleaseClient) -> None:
    """A watch that is not disturbed yields what the daemon sends, and ends with it."""
    _, events = a_success()
    service.stream(*events)
    assert await watched(agent) == events


async def test_a_watch_starts_after_the_given_sequence(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """Whoever has seen some events need not see them again."""
    service.stream()
    assert await watched(agent, after_sequence=7) == []
    assert (service.requests[0].name, service.requests[0].after_sequence) == (NAME, 7)


async def test_a_dropped_watch_goes_on_after_the_last_sequence(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """Each event comes once, however often the connection is lost in between."""
    _, events = a_success()
    service.stream(*events[:4], CONNECTION_LOST)
    service.stream(CONNECTION_LOST)
    service.stream(Refusal(grpc.StatusCode.CANCELLED))
    service.stream(*events[4:6], Refusal(grpc.StatusCode.UNAVAILABLE, reason="SHUTTING_DOWN"))
    service.stream(*events[6:])
    assert await watched(agent) == events
    last, later = events[3].sequence, events[5].sequence
    assert [request.after_sequence for request in service.requests] == [0, last, last, last, later]


async def test_a_watch_survives_a_restart_of_the_daemon(tmp_path: Path) -> None:
    """The connection itself may go away, with the socket, and come back."""
    _, events = a_success()
    seen = []
    async with ReleaseClient(tmp_path / "s", watch_retries=[timedelta(seconds=0.01)] * 500) as agent:
        async with serve(tmp_path / "s") as first:
            first.stream(*events[:4], asyncio.Event())
            watch = agent.watch_release(NAME)
            for _ in range(4):
                seen.append(await anext(watch))
        async with serve(tmp_path / "s") as second:
            second.stream(*events[4:])
            seen += [event async for event in watch]
    assert seen == events
    assert second.requests[0].after_sequence == events[3].sequence


async def test_a_progress_notice_does_not_move_the_sequence(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """A sign of life repeats a sequence; coming back after it repeats no event."""
    story = Story()
    accepted = story.accepted()
    service.stream(accepted, story.notice("QUEUED", 2), CONNECTION_LOST)
    service.stream(story.succeeded())
    assert [event.WhichOneof("payload") for event in await watched(agent)] == [
        "accepted",
        "progress_notice",
        "state_changed",
    ]
    assert service.requests[1].after_sequence == accepted.sequence


async def test_a_watch_gives_up_when_the_daemon_does_not_come_back(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """The number of attempts without any event is bounded."""
    _, events = a_success()
    service.stream(events[0], CONNECTION_LOST)
    for _ in AT_ONCE:
        service.stream(CONNECTION_LOST)
    with pytest.raises(DaemonUnreachable):
        await watched(agent)
    assert len(service.requests) == 1 + len(AT_ONCE)


async def test_a_refused_watch_is_not_tried_again(service: ScriptedService, agent: ReleaseClient) -> None:
    """A release that does not exist will not come to exist."""
    service.stream(Refusal(grpc.StatusCode.NOT_FOUND, reason="RELEASE_NOT_FOUND"))
    with pytest.raises(NotFound):
        await watched(agent)
    assert len(service.requests) == 1


async def test_silence_counts_as_a_lost_connection(
    service: ScriptedService, agent: ReleaseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A daemon that gives no sign of life is asked again, on a new call."""
    monkeypatch.setattr(client, "SILENCE", timedelta(milliseconds=50))
    _, events = a_success()
    service.stream(*events[:4], asyncio.Event())
    service.stream(*events[4:])
    assert await watched(agent) == events


async def test_a_daemon_that_stays_silent_is_unreachable(
    service: ScriptedService, agent: ReleaseClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence does not last forever either."""
    monkeypatch.setattr(client, "SILENCE", timedelta(milliseconds=10))
    for _ in range(1 + len(AT_ONCE)):
        service.stream(asyncio.Event())
    with pytest.raises(DaemonUnreachable, match="fell silent"):
        await watched(agent)


async def test_a_watch_that_is_closed_ends_its_call(tmp_path: Path) -> None:
    """Leaving early tells the daemon, so that it need not go on sending."""
    _, events = a_success()
    async with serve(tmp_path / "s") as service, ReleaseClient(service.socket) as agent:
        service.stream(events[0], asyncio.Event())
        async with aclosing(agent.watch_release(NAME)) as watch:
            await anext(watch)
        await service.watch_ended.wait()


async def test_run_release_returns_the_ended_release(service: ScriptedService, agent: ReleaseClient) -> None:
    """Start, follow, and say what became of it: in one call."""
    story, events = a_failure()
    service.answer("StartRelease", Release(name=NAME))
    service.stream(*events)
    service.answer("GetRelease", story.release)
    seen: list[ReleaseEvent] = []
    release = await agent.run_release("shop/live", "shop:42", on_event=seen.append)
    assert release.state == Release.STATE_FAILED
    assert release.failure.message == "Exit code 1."
    assert seen == events


async def test_list_releases_goes_through_all_pages(service: ScriptedService, agent: ReleaseClient) -> None:
    """Pages are asked for as they are needed, all with the same filter."""
    service.answer(
        "ListReleases",
        ListReleasesResponse(releases=[Release(name="a"), Release(name="b")], next_page_token="2"),
        ListReleasesResponse(next_page_token="3"),
        ListReleasesResponse(releases=[Release(name="c")]),
    )
    assert [release.name async for release in agent.list_releases("state = FAILED")] == ["a", "b", "c"]
    assert [(request.filter, request.page_token) for request in service.requests] == [
        ("state = FAILED", ""),
        ("state = FAILED", "2"),
        ("state = FAILED", "3"),
    ]


async def test_list_releases_page_passes_its_arguments(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """One page can be asked for on its own."""
    service.answer("ListReleases", ListReleasesResponse(next_page_token="3"))
    page = await agent.list_releases_page("state = FAILED", page_size=7, page_token="2")
    assert page.next_page_token == "3"
    assert (service.requests[0].page_size, service.requests[0].page_token) == (7, "2")


async def test_cancel_release_passes_the_reason(service: ScriptedService, agent: ReleaseClient) -> None:
    """The reason reaches the daemon, for its log."""
    service.answer("CancelRelease", Release(name=NAME, state=Release.STATE_RUNNING))
    assert (await agent.cancel_release(NAME, "wrong image")).state == Release.STATE_RUNNING
    assert (service.requests[0].name, service.requests[0].reason) == (NAME, "wrong image")


async def test_report_outcome_passes_its_arguments(service: ScriptedService, agent: ReleaseClient) -> None:
    """And returns the release."""
    service.answer("ReportOutcome", Release(name=NAME))
    assert (await agent.report_outcome(NAME, OUTCOME_DEPLOYED, "it works")).name == NAME
    (request,) = service.requests
    assert (request.name, request.outcome, request.reason) == (NAME, OUTCOME_DEPLOYED, "it works")


async def test_drain_yields_how_far_it_is_to_the_end(service: ScriptedService, agent: ReleaseClient) -> None:
    """As the daemon tells it."""
    told = [DrainProgress(running_releases=2), DrainProgress(running_releases=0, queued_releases=1)]
    service.stream(*told, method="Drain")
    assert [progress async for progress in agent.drain()] == told


async def test_a_drain_that_is_cut_off_is_not_begun_again(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """A daemon that has been restarted in between would end for no reason."""
    service.stream(DrainProgress(running_releases=2), CONNECTION_LOST, method="Drain")
    with pytest.raises(Unavailable):
        [progress async for progress in agent.drain()]
    assert len(service.requests) == 1


async def test_get_status_returns_the_status(service: ScriptedService, agent: ReleaseClient) -> None:
    """The daemon's own state is one call away."""
    service.answer("GetStatus", DaemonStatus(version="1.2.3"))
    assert (await agent.get_status()).version == "1.2.3"


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal(grpc.StatusCode.NOT_FOUND, reason="RELEASE_NOT_FOUND"), NotFound),
        (Refusal(grpc.StatusCode.PERMISSION_DENIED, reason="NOT_ALLOWED"), PermissionDenied),
        (Refusal(grpc.StatusCode.UNAUTHENTICATED, reason="NOT_KNOWN"), PermissionDenied),
        (Refusal(grpc.StatusCode.INVALID_ARGUMENT, reason="INVALID_REQUEST"), InvalidRequest),
        (Refusal(grpc.StatusCode.ALREADY_EXISTS, reason="REQUEST_ID_REUSED"), AlreadyExists),
        (Refusal(grpc.StatusCode.ABORTED, reason="TARGET_BUSY"), TargetBusy),
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


async def test_a_socket_path_may_hold_any_character(tmp_path: Path) -> None:
    """A blank or a percent sign in the path does not lead elsewhere."""
    odd = tmp_path / "a b%20c#?"
    odd.mkdir()
    async with serve(tmp_path / "s") as service:
        service.answer("GetStatus", DaemonStatus(version="1.2.3"))
        (odd / "s").symlink_to(tmp_path / "s")
        async with ReleaseClient(odd / "s") as agent:
            assert (await agent.get_status()).version == "1.2.3"


async def test_a_large_answer_arrives(service: ScriptedService, agent: ReleaseClient) -> None:
    """A page of releases may be larger than gRPC's default limit of 4 MiB."""
    service.answer("GetRelease", Release(user="x" * 5 * 2**20))
    assert len((await agent.get_release(NAME)).user) == 5 * 2**20
