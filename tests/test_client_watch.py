"""Watching a release with the Python client: it goes on where it was cut off, and ends when told."""

import asyncio
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from releasectl import (
    DaemonUnreachable,
    NotFound,
    ReleaseClient,
    client,
)
from releasephase.v1.release_event_pb2 import ReleaseEvent
from support.scripted_service import AT_ONCE, CONNECTION_LOST, Refusal, ScriptedService, serve
from support.story import NAME, Story, a_success


async def watched(agent: ReleaseClient, after_sequence: int = 0) -> list[ReleaseEvent]:
    return [event async for event in agent.watch_release(NAME, after_sequence)]


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
