"""What became of deployments, with the whole daemon: reported once, by whoever deploys."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from released.crash import VARIABLE, CrashPoint
from releasephase.v1.release_pb2 import OUTCOME_ABANDONED, OUTCOME_DEPLOYED
from releasephase.v1.release_service_pb2 import (
    GetReleaseRequest,
    ReportOutcomeRequest,
)
from support.app import App, release_request
from support.process import DaemonProcess, daemon_in_memory
from support.rpc_errors import details_of, refused

NOBODY = "releases/01901630-0000-7000-8000-0000000000a1"


@pytest.fixture
def daemon() -> Iterator[DaemonProcess]:
    """A daemon without an engine: releases that run nothing need none."""
    with daemon_in_memory("unix:///none.sock") as daemon:
        yield daemon


async def test_outcome_is_told_with_the_release(app: App) -> None:
    """What, why, when and by whom; the release itself stays as it ended."""
    outcome = await app.run("true")
    reported = await app.report(outcome.release.name, "ABANDONED", "health check failed")
    assert (reported.outcome, reported.outcome_reason) == (OUTCOME_ABANDONED, "health check failed")
    assert reported.outcome_time.ToNanoseconds() > reported.end_time.ToNanoseconds()
    assert reported.outcome_caller.pid == reported.caller.pid
    assert reported.state == outcome.release.state
    assert reported.receipt == outcome.release.receipt
    assert reported.last_sequence == outcome.release.last_sequence + 1


async def test_watch_ends_at_the_end_of_the_release(app: App) -> None:
    """At once, as before anything was reported; who asks for what is behind it gets that."""
    release = (await app.run("true")).release
    before = [event async for event in app.watch(release.name)]
    await app.report(release.name, "DEPLOYED")
    assert [event async for event in app.watch(release.name)] == before
    (event,) = [event async for event in app.watch(release.name, release.receipt.sequence)]
    assert event.outcome_reported.outcome == OUTCOME_DEPLOYED
    assert [event async for event in app.watch(release.name, event.sequence)] == []


async def test_another_report_is_refused(app: App) -> None:
    """For programs: a reason, and what was reported."""
    name = (await app.start()).name
    await app.report(name, "ABANDONED", "x" * 1024)
    error = await refused(app.report(name, "DEPLOYED"))
    info, _ = details_of(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "OUTCOME_REPORTED")
    assert dict(info.metadata) == {"outcome": "ABANDONED", "reason": "x" * 256}


async def test_release_that_runs_has_no_outcome_yet(app: App) -> None:
    """It is refused until it has ended."""
    name = (await app.start("echo up; sleep 1000")).name
    await app.until_output(name, b"up\n")
    error = await refused(app.report(name, "ABANDONED"))
    info, _ = details_of(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RELEASE_NOT_ENDED")
    await app.cancel(name)
    assert (await app.outcome(name)).state == "CANCELLED"
    assert (await app.report(name, "ABANDONED")).outcome == OUTCOME_ABANDONED


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"outcome": 0}, "outcome"),
        ({"outcome": 7}, "outcome"),
        ({"reason": "x" * 1025}, "reason"),
        ({"reason": "two\nlines"}, "reason"),
        ({"name": "shop/live"}, "name"),
    ],
)
async def test_bad_report(app: App, fields: dict[str, Any], field: str) -> None:
    """The field is named."""
    request = ReportOutcomeRequest(**{"name": NOBODY, "outcome": OUTCOME_DEPLOYED, **fields})
    error = await refused(app.stub.ReportOutcome(request))
    _, bad = details_of(error)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in bad.field_violations] == [field]


async def test_release_that_is_not_there(app: App) -> None:
    """As for every other question about it."""
    assert (await refused(app.report(NOBODY, "DEPLOYED"))).code() is grpc.StatusCode.NOT_FOUND


def test_report_that_was_not_answered_is_made_again(daemon: DaemonProcess) -> None:
    """A crash right behind the record: the same report is fine, and another one is refused."""
    daemon.terminate()
    daemon.start({VARIABLE: CrashPoint.OUTCOME_STORED})
    release = daemon.stub.StartRelease(release_request(image="shop:1"))
    report = ReportOutcomeRequest(name=release.name, outcome=OUTCOME_DEPLOYED, reason="it works")
    with pytest.raises(grpc.RpcError):
        daemon.stub.ReportOutcome(report)
    daemon.wait()
    daemon.start()
    assert daemon.stub.GetRelease(GetReleaseRequest(name=release.name)).outcome == OUTCOME_DEPLOYED
    assert daemon.stub.ReportOutcome(report).outcome_reason == "it works"
    with pytest.raises(grpc.RpcError, match="an outcome is reported once"):
        daemon.stub.ReportOutcome(ReportOutcomeRequest(name=release.name, outcome=OUTCOME_ABANDONED))
