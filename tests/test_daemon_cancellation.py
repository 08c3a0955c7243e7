"""Callers that go, at every await of every RPC: releases go on, and nothing of the call stays."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from released import app as app_module
from released.model.rights import Right, Rights, Role
from released.service import gate
from released.service.audit import AuditService
from released.service.commands import CommandService
from released.service.daemon import DaemonService
from released.service.gate import Call
from released.service.releases import ReleaseService
from releasephase.v1.audit_service_pb2 import (
    ExportEventsRequest,
    GetCommandStatisticsRequest,
    ListEventsRequest,
)
from releasephase.v1.command_service_pb2 import (
    Command,
    CreateCommandRequest,
    ListCommandChangesRequest,
    ListCommandsRequest,
)
from releasephase.v1.daemon_service_pb2 import GetStatusRequest
from releasephase.v1.release_pb2 import OUTCOME_DEPLOYED, Release
from releasephase.v1.release_service_pb2 import (
    CancelReleaseRequest,
    GetReleaseRequest,
    ListReleasesRequest,
    ReportOutcomeRequest,
    RetryReleaseRequest,
    StartReleaseRequest,
    WatchReleaseRequest,
)
from support.app import App, serving_app
from support.cancellation import cancellations
from support.docker_engine import Engine
from support.samples import CALLER

DEADLINE = 120
"""Seconds after which a release counts as lost, and a task as left behind."""

SHOP = "applications/shop"

CONTEXT: Any = None
"""gRPC's, which handlers need only to refuse something."""


@asynccontextmanager
async def in_time() -> AsyncIterator[None]:
    """What is lost is waited for in vain: let the test fail then."""
    async with asyncio.timeout(DEADLINE):
        yield


@dataclass
class Handlers:
    """A running daemon, and the handlers of its methods, to be called without a client that could go."""

    app: App
    releases: ReleaseService
    daemon: DaemonService
    audit: AuditService
    commands: CommandService

    async def releases_listed(self) -> list[Release]:
        return list((await self.app.stub.ListReleases(ListReleasesRequest(page_size=1000))).releases)


@pytest.fixture
async def handlers(
    engine: Engine, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Handlers]:
    """At the end all lanes are free, and there are no more tasks than before."""
    made: list[Any] = []

    def kept(make: Any) -> Any:
        def make_and_keep(*arguments: Any) -> Any:
            made.append(make(*arguments))
            return made[-1]

        return make_and_keep

    impatient = partial(ReleaseService, idle_interval=timedelta(milliseconds=10))
    monkeypatch.setattr(app_module, "ReleaseService", kept(impatient))
    monkeypatch.setattr(app_module, "DaemonService", kept(DaemonService))
    monkeypatch.setattr(app_module, "AuditService", kept(AuditService))
    monkeypatch.setattr(app_module, "CommandService", kept(CommandService))
    # Whoever calls a handler itself does not come through the gate.
    admitted = Call(CALLER, Rights([Right(Role.ADMIN)]), "", Role.ADMIN)
    monkeypatch.setattr(gate, "current_call", ContextVar("current_call", default=admitted))
    async with serving_app(engine.url, busybox_image, stop_grace=0.1) as app:
        await app.status()
        before = len(asyncio.all_tasks())
        yield Handlers(app, *made)
        assert list((await app.status()).lanes) == []
        async with asyncio.timeout(DEADLINE):
            # The end of a task that nobody knows has no event.
            while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)


@in_time()
async def test_a_start_that_is_repeated_gives_one_release(handlers: Handlers) -> None:
    """Whether it was accepted or not when its caller went, the same request_id starts it once."""
    app = handlers.app
    requests: list[StartReleaseRequest] = []

    def start() -> Any:
        requests.append(app.request("true", request_id=str(uuid.uuid4())))
        return handlers.releases.StartRelease(requests[-1], CONTEXT)

    async for where in cancellations(start):
        again = await app.stub.StartRelease(requests[-1])
        assert (await app.outcome(again.name)).state == "SUCCEEDED", where
        assert len(await handlers.releases_listed()) == len(requests), where
    last = await app.stub.StartRelease(requests[-1])
    assert (await app.outcome(last.name)).state == "SUCCEEDED"
    assert len(await handlers.releases_listed()) == len(requests)


@in_time()
async def test_a_start_that_is_not_repeated_goes_on_or_never_was(handlers: Handlers) -> None:
    """A release of its target that comes later finds the lane free."""
    app = handlers.app

    def start() -> Any:
        return handlers.releases.StartRelease(app.request("true"), CONTEXT)

    async for where in cancellations(start):
        assert (await app.run("true")).state == "SUCCEEDED", where
        states = {release.state for release in await handlers.releases_listed()}
        assert states == {Release.STATE_SUCCEEDED}, where
    assert (await app.run("true")).state == "SUCCEEDED"


@in_time()
async def test_a_cancel_of_a_waiting_release(handlers: Handlers) -> None:
    """It is cancelled or goes on waiting; asked again, it is cancelled once."""
    app = handlers.app
    running = await app.start("echo up; sleep 1000")
    waiting = await app.start("true")

    def cancel() -> Any:
        return handlers.releases.CancelRelease(CancelReleaseRequest(name=waiting.name), CONTEXT)

    async for where in cancellations(cancel):
        assert (await app.cancel(waiting.name)).state == Release.STATE_CANCELLED, where
        outcome = await app.outcome(waiting.name)
        assert (outcome.state, outcome.kinds.count("cancel_requested")) == ("CANCELLED", 1), where
        waiting = await app.start("true")
    await app.cancel(running.name)
    assert (await app.outcome(running.name)).state == "CANCELLED"


@in_time()
async def test_a_cancel_of_a_running_release(handlers: Handlers) -> None:
    """It is stopped or goes on; asked again, it is stopped once."""
    app = handlers.app

    async def started() -> Release:
        release = await app.start("echo up; sleep 1000")
        await app.until_output(release.name, b"up\n")
        return release

    running = await started()

    def cancel() -> Any:
        return handlers.releases.CancelRelease(CancelReleaseRequest(name=running.name), CONTEXT)

    async for where in cancellations(cancel):
        await app.cancel(running.name)
        outcome = await app.outcome(running.name)
        assert (outcome.state, outcome.kinds.count("cancel_requested")) == ("CANCELLED", 1), where
        running = await started()
    assert (await app.outcome(running.name)).state == "CANCELLED"


@in_time()
async def test_a_watch_of_what_goes_on(handlers: Handlers) -> None:
    """It ends at once, wherever it was, and neither the release nor another watch notices."""
    app = handlers.app
    release = await app.start("until [ -e /tmp/never ]; do echo line; sleep 0.02; done")

    async def watch() -> None:
        outputs = notices = 0
        async for event in handlers.releases.WatchRelease(WatchReleaseRequest(name=release.name), CONTEXT):
            outputs += event.HasField("command_output")
            notices += event.HasField("progress_notice")
            if outputs >= 3 and notices >= 3:
                return

    async for _ in cancellations(watch):
        await app.until_output(release.name, b"line\n")
    await app.cancel(release.name)
    assert (await app.outcome(release.name)).state == "CANCELLED"


@in_time()
async def test_a_watch_of_what_has_ended(handlers: Handlers) -> None:
    """A replay that is cut anywhere is whole the next time."""
    app = handlers.app
    name = (await app.run("echo a", "echo b")).release.name
    whole = (await app.outcome(name)).events

    async def watch() -> None:
        async for _ in handlers.releases.WatchRelease(WatchReleaseRequest(name=name), CONTEXT):
            pass

    async for where in cancellations(watch):
        assert (await app.outcome(name)).events == whole, where


ATTEMPTS = 150
"""More than a call has awaits, twice."""


@in_time()
async def test_a_retry_that_is_repeated_gives_one_release(handlers: Handlers) -> None:
    """As a start: whether it was accepted or not when its caller went."""
    app = handlers.app
    # One for each attempt, since none is tried again twice; each of a target of its own, since none waits.
    missing = {"image": "missing:1", "pull_policy": "PULL_POLICY_NEVER"}
    failed = [
        (await app.run("false", environment=f"e{index}", **missing)).release.name for index in range(ATTEMPTS)
    ]
    requests: list[RetryReleaseRequest] = []

    def retry() -> Any:
        requests.append(RetryReleaseRequest(name=failed.pop(), request_id=str(uuid.uuid4())))
        return handlers.releases.RetryRelease(requests[-1], CONTEXT)

    async for where in cancellations(retry):
        again = await app.stub.RetryRelease(requests[-1])
        assert (await app.outcome(again.name)).state == "FAILED", where
        retries = [each for each in await handlers.releases_listed() if each.retry_of]
        assert len(retries) == len(requests), where
    last = await app.stub.RetryRelease(requests[-1])
    await app.outcome(last.name)


@in_time()
async def test_a_report_of_an_outcome(handlers: Handlers) -> None:
    """It is recorded or not; asked again, it is recorded once."""
    app = handlers.app
    release = await app.start()

    def report() -> Any:
        request = ReportOutcomeRequest(name=release.name, outcome=OUTCOME_DEPLOYED)
        return handlers.releases.ReportOutcome(request, CONTEXT)

    async for where in cancellations(report):
        reported = await app.report(release.name, "DEPLOYED")
        assert reported.outcome == OUTCOME_DEPLOYED, where
        after = [event async for event in app.watch(release.name, reported.receipt.sequence)]
        assert [event.WhichOneof("payload") for event in after] == ["outcome_reported"], where
        release = await app.start()


@in_time()
async def test_a_change_of_settings(handlers: Handlers) -> None:
    """It is made or not; each one that was made is told once, and the next caller goes on from there."""
    stub = handlers.app.commands
    labels: list[str] = []

    def create() -> Any:
        labels.append(f"label {len(labels)}")
        command = Command(label=labels[-1], line="true")
        return handlers.commands.CreateCommand(CreateCommandRequest(parent=SHOP, command=command), CONTEXT)

    async for where in cancellations(create):
        labels.append(f"label {len(labels)}")
        command = Command(label=labels[-1], line="true")
        await stub.CreateCommand(CreateCommandRequest(parent=SHOP, command=command))
        listed = [each.label for each in (await stub.ListCommands(ListCommandsRequest(parent=SHOP))).commands]
        request = ListCommandChangesRequest(parent=SHOP, page_size=1000)
        told = [each.after.label for each in (await stub.ListCommandChanges(request)).changes]
        assert listed == told[::-1], where
        assert [label for label in labels if label in listed] == listed, where
        assert listed[-1] == labels[-1], where


@in_time()
async def test_an_export(handlers: Handlers) -> None:
    """The next one has all of the log."""
    app = handlers.app
    await app.run("echo a", "echo b")

    async def export() -> list[int]:
        batches = handlers.audit.ExportEvents(ExportEventsRequest(), CONTEXT)
        return [event.sequence async for batch in batches for event in batch.events]

    whole = await export()
    async for where in cancellations(export):
        assert await export() == whole, where


@pytest.mark.parametrize(
    "method",
    [
        "GetRelease",
        "ListReleases",
        "ListEvents",
        "GetStatus",
        "GetCommandStatistics",
        "ListCommands",
        "ListCommandChanges",
    ],
)
@in_time()
async def test_a_question(handlers: Handlers, method: str) -> None:
    """The next one is answered: the connection to the log that it used is free again."""
    app = handlers.app
    name = (await app.run("true")).release.name

    def ask() -> Any:
        match method:
            case "GetRelease":
                return handlers.releases.GetRelease(GetReleaseRequest(name=name), CONTEXT)
            case "ListReleases":
                return handlers.releases.ListReleases(ListReleasesRequest(), CONTEXT)
            case "GetCommandStatistics":
                return handlers.audit.GetCommandStatistics(GetCommandStatisticsRequest(), CONTEXT)
            case "ListEvents":
                request = ListEventsRequest(release=name, filter="kind = command_output")
                return handlers.audit.ListEvents(request, CONTEXT)
            case "ListCommands":
                return handlers.commands.ListCommands(ListCommandsRequest(parent=SHOP), CONTEXT)
            case "ListCommandChanges":
                return handlers.commands.ListCommandChanges(ListCommandChangesRequest(parent=SHOP), CONTEXT)
            case _:
                return handlers.daemon.GetStatus(GetStatusRequest(), CONTEXT)

    async for where in cancellations(ask):
        assert [release.name for release in await handlers.releases_listed()] == [name], where
        assert (await app.status()).engine.reachable, where
