"""What callers ask of a running daemon besides running commands: the errors, lists, status, health."""

import asyncio
import sqlite3
import uuid
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from releasephase.v1.daemon_service_pb2 import GetStatusRequest
from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import (
    CancelReleaseRequest,
    GetReleaseRequest,
    ListReleasesRequest,
    ListReleasesResponse,
    StartReleaseRequest,
    WatchReleaseRequest,
)
from support.app import App, serving_app
from support.docker_engine import Engine
from support.rpc_errors import details_of, refused


def stored(app: App, sql: str) -> list[tuple[Any, ...]]:
    """What plain SQLite finds in the audit log."""
    connection = sqlite3.connect(f"file:{app.config.audit.path}?mode=ro", uri=True)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def test_bad_input_names_every_field_and_leaves_nothing_behind(app: App) -> None:
    """INVALID_ARGUMENT with a violation for each field; no row, no container."""
    request = app.request(
        "x" * 70_000,
        application="Shop!",
        environment="",
        image="Upper case",
        env=[{"name": "A", "value": "secret value"}, {"name": "A", "value": "secret value"}],
        mounts=[{"source": "./relative", "target": "/x"}],
        request_id="not-a-uuid",
        timeout=-1,
    )
    error = await refused(app.stub.StartRelease(request))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    info, bad = details_of(error)
    assert (info.domain, info.reason) == ("releasephase", "INVALID_REQUEST")
    assert {violation.field for violation in bad.field_violations} == {
        "application",
        "environment",
        "image",
        "commands[0].line",
        "commands[0].timeout",
        "env[1].name",
        "mounts[0].source",
        "request_id",
    }
    assert "secret value" not in str(bad) + str(error.details())
    assert stored(app, "SELECT count(*) FROM events") == [(0,)]


async def test_validate_only_checks_and_starts_nothing(app: App) -> None:
    """The answer is the release as it would be accepted, without a name."""
    release = await app.start("true", validate_only=True)
    assert (release.name, release.state) == ("", Release.STATE_QUEUED)
    assert release.command_runs[0].timeout.seconds == 1800
    assert stored(app, "SELECT count(*) FROM events") == [(0,)]


async def test_a_repeated_request_gives_the_same_release(app: App) -> None:
    """At the same time, while it runs, and after it has ended: the commands run once."""
    request_id = str(uuid.uuid4())
    releases = await asyncio.gather(*(app.start("echo once", request_id=request_id) for _ in range(10)))
    names = {release.name for release in releases}
    assert len(names) == 1
    outcome = await app.outcome(names.pop())
    assert outcome.output() == b"once\n"
    again = await app.start("echo once", request_id=request_id)
    assert (again.name, again.state) == (outcome.release.name, Release.STATE_SUCCEEDED)
    assert stored(app, "SELECT count(*) FROM releases") == [(1,)]


@pytest.mark.parametrize("difference", [{"image": "other:1"}, {"env": [{"name": "A", "value": "2"}]}])
async def test_a_request_id_with_another_body_is_refused(app: App, difference: dict[str, Any]) -> None:
    """Not only other names, but other values count; other credentials do not."""
    request_id = str(uuid.uuid4())
    env = [{"name": "A", "value": "1"}]
    first = await app.start("true", request_id=request_id, env=env)
    error = await refused(app.start("true", **{"request_id": request_id, "env": env, **difference}))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS
    info, _ = details_of(error)
    assert (info.reason, info.metadata["release"]) == ("REQUEST_ID_REUSED", first.name)
    auth = {"username": "u", "password": "p"}
    assert (await app.start("true", request_id=request_id, env=env, registry_auth=auth)).name == first.name
    await app.outcome(first.name)


async def test_a_request_id_of_another_target_is_another_one(app: App) -> None:
    """Whoever deploys another target learns nothing of it, and does not get in its way, even at once."""
    request_id = str(uuid.uuid4())
    environments = ["live", "test"]
    starts = (app.start("true", request_id=request_id, environment=name) for name in environments)
    releases = await asyncio.gather(*starts)
    outcomes = [await app.outcome(release.name) for release in releases]
    assert [(o.release.environment, o.state) for o in outcomes] == [(n, "SUCCEEDED") for n in environments]
    assert len({release.name for release in releases}) == 2


async def test_what_does_not_exist_is_not_found(app: App) -> None:
    """Each method that takes a name says so, with the name."""
    name = f"releases/{uuid.uuid4()}"
    calls: list[Any] = [
        app.stub.GetRelease(GetReleaseRequest(name=name)),
        app.stub.CancelRelease(CancelReleaseRequest(name=name)),
        app.stub.WatchRelease(WatchReleaseRequest(name=name)).read(),
    ]
    for call in calls:
        error = await refused(call)
        assert error.code() is grpc.StatusCode.NOT_FOUND
        assert details_of(error)[0].reason == "RELEASE_NOT_FOUND"


@pytest.mark.parametrize("name", ["", "releases/", "shop", "releases/1", "releases/../x", "commands/0"])
async def test_a_malformed_name_is_bad_input(app: App, name: str) -> None:
    """It is told from a name of something that is not there."""
    error = await refused(app.stub.GetRelease(GetReleaseRequest(name=name)))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [violation.field for violation in details_of(error)[1].field_violations] == ["name"]


async def list_all(app: App, text: str = "", page_size: int = 0) -> list[str]:
    """The request ids' targets of all releases that a filter lets through, over all pages."""
    found: list[str] = []
    token = ""
    while True:
        request = ListReleasesRequest(filter=text, page_size=page_size, page_token=token)
        page: ListReleasesResponse = await app.stub.ListReleases(request)
        assert len(page.releases) <= (page_size or 50)
        found += [f"{release.application}/{release.environment}" for release in page.releases]
        token = page.next_page_token
        if not token:
            return found


async def test_releases_are_listed_newest_first_by_pages_and_filters(app: App) -> None:
    """Each filter field chooses, and pages neither repeat nor leave out."""
    targets = [("shop", "live"), ("shop", "test"), ("blog", "live"), ("blog", "test"), ("wiki", "live")]
    for number, (application, environment) in enumerate(targets):
        labels = {"ticket": f"OPS-{number}"}
        await app.start(application=application, environment=environment, labels=labels)
    failed = await app.run("false", application="shop", environment="late")
    everything = ["shop/late", "wiki/live", "blog/test", "blog/live", "shop/test", "shop/live"]
    assert await list_all(app) == everything
    assert await list_all(app, page_size=2) == everything
    assert await list_all(app, page_size=1) == everything
    assert await list_all(app, 'application = "shop"') == ["shop/late", "shop/test", "shop/live"]
    assert await list_all(app, "state = FAILED") == ["shop/late"]
    assert await list_all(app, "labels.ticket = 'OPS-2'") == ["blog/live"]
    time = failed.release.create_time.ToJsonString()
    assert await list_all(app, f'create_time >= "{time}"') == ["shop/late"]
    text = 'environment = "live" AND NOT application = wiki'
    assert await list_all(app, text, page_size=1) == ["blog/live", "shop/live"]


async def test_a_page_token_belongs_to_its_filter(app: App) -> None:
    """Used with another filter, or made up, it is refused."""
    for _ in range(3):
        await app.start()
    page = await app.stub.ListReleases(ListReleasesRequest(page_size=1))
    for request in (
        ListReleasesRequest(page_token=page.next_page_token, filter="state = FAILED"),
        ListReleasesRequest(page_token="made-up"),
        ListReleasesRequest(page_size=-1),
        ListReleasesRequest(filter="state = "),
    ):
        error = await refused(app.stub.ListReleases(request))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_status_tells_of_daemon_engine_and_log(app: App, engine: Engine) -> None:
    """What an operator looks at first."""
    await app.run("true")
    status = await app.daemon.GetStatus(GetStatusRequest())
    assert status.version
    assert (status.engine.url, status.engine.reachable) == (engine.url, True)
    assert status.engine.version
    ((newest, digest),) = stored(app, "SELECT max(sequence), digest FROM events")
    assert (status.audit.last_sequence, status.audit.head.sequence) == (newest, newest)
    assert status.audit.head.digest == digest.hex()
    assert status.audit.size_bytes > 0 < status.audit.free_bytes
    assert list(status.lanes) == []


async def test_health_and_reflection_are_served(app: App) -> None:
    """Stock tools find out what there is and whether it works."""
    health: Any = health_pb2_grpc.HealthStub(app.channel)
    names = [f"releasephase.v1.{name}Service" for name in ("Release", "Daemon", "Audit")]
    for service in ("", *names):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(app.channel)  # type: ignore[arg-type] # the stubs know no aio
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    answer = await call.read()
    assert set(names) <= {service.name for service in answer.list_services_response.service}
    call.cancel()


async def test_without_an_engine_history_is_served_and_releases_are_refused(
    engine: Engine, busybox_image: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """UNAVAILABLE, NOT_SERVING, and a status that says why; releases that run nothing need no engine."""
    nowhere = f"unix://{tmp_path_factory.mktemp('no')}/engine.sock"
    async with serving_app(nowhere, busybox_image) as app:
        error = await refused(app.start("true"))
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert details_of(error)[0].reason == "ENGINE_UNAVAILABLE"
        health: Any = health_pb2_grpc.HealthStub(app.channel)
        service = "releasephase.v1.ReleaseService"
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        status = await app.daemon.GetStatus(GetStatusRequest())
        assert (status.engine.reachable, bool(status.engine.message)) == (False, True)
        assert (await app.run()).state == "SUCCEEDED"
        assert await list_all(app) == ["shop/live"]


async def test_an_oversized_request_is_refused_and_the_daemon_goes_on(app: App) -> None:
    """gRPC's own limit of 4 MiB."""
    request = StartReleaseRequest(application="a" * (5 << 20))
    error = await refused(app.stub.StartRelease(request))
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (await app.run()).state == "SUCCEEDED"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("unary_unary", "/releasephase.v1.ReleaseService/StartRelease"),
        ("unary_stream", "/releasephase.v1.ReleaseService/WatchRelease"),
        ("unary_unary", "/grpc.health.v1.Health/Check"),
        ("unary_stream", "/grpc.health.v1.Health/Watch"),
    ],
)
async def test_a_request_that_can_t_be_decoded_is_bad_input(
    app: App, kind: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As any other: with details for the caller, and without a traceback in the daemon's log."""
    call = getattr(app.channel, kind)(path)(b"\xff")
    error = await refused(call if kind == "unary_unary" else call.read())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    info, bad = details_of(error)
    assert (info.reason, bad.field_violations[0].field) == ("INVALID_REQUEST", "request")
    assert "Traceback" not in caplog.text
