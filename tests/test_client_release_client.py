"""The Python client, against a scripted service on a real socket."""

from pathlib import Path
from uuid import UUID

import grpc
import pytest

from releasectl import (
    Command,
    DaemonUnreachable,
    ReleaseClient,
    TargetBusy,
    Unavailable,
)
from releasephase.v1.daemon_service_pb2 import DaemonStatus, DrainProgress
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import OUTCOME_DEPLOYED, Release
from releasephase.v1.release_service_pb2 import ListReleasesResponse
from support.scripted_service import AT_ONCE, CONNECTION_LOST, Refusal, ScriptedService, serve
from support.story import NAME, a_failure


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


async def test_plan_release_starts_nothing(service: ScriptedService, agent: ReleaseClient) -> None:
    """It is the same request, and the answer is the plan; `run_release` does not follow what does not run."""
    plan = Release(state=Release.STATE_QUEUED, queue_position=2)
    service.answer("StartRelease", plan)
    assert await agent.plan_release("shop/live", "shop:42", env={"A": "1"}) == plan
    assert await agent.plan_release("shop/live", "shop:42", validate_only=False) == plan
    assert await agent.run_release("shop/live", "shop:42", validate_only=True) == plan
    assert [request.validate_only for request in service.requests] == [True] * 3
    assert (service.requests[0].image, service.requests[0].env[0].name) == ("shop:42", "A")


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
