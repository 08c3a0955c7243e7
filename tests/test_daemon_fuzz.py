"""Callers that send nonsense: mutated messages to every method of the contract, raw bytes to the socket."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import MethodDescriptor
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from releasephase.v1.release_pb2 import PULL_POLICY_NEVER
from releasephase.v1.release_service_pb2 import ListReleasesRequest, StartReleaseRequest
from support.app import App, serving_app
from support.nonsense import RELEASE_ID, connections, encoded, methods, mutated
from support.properties import deterministic

EXPECTED = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}
"""What a caller may be told who sends nonsense to a daemon without an engine, and with a policy."""

DEADLINE = 60
"""Seconds after which a call counts as not answered."""

fuzz = settings(
    deterministic,
    max_examples=150,
    suppress_health_check=[*deterministic.suppress_health_check, HealthCheck.function_scoped_fixture],
)


def open_things() -> tuple[int, int]:
    """How many tasks this event loop has, and how many sockets this process."""
    descriptors = Path("/proc/self/fd").iterdir()
    sockets = [
        each for each in descriptors if each.is_symlink() and str(each.readlink()).startswith("socket:")
    ]
    return len(asyncio.all_tasks()), len(sockets)


@pytest.fixture
async def idle_app(caplog: pytest.LogCaptureFixture) -> AsyncIterator[App]:
    """A daemon without an engine, so that nothing can run. At the end it serves, and nothing has stayed."""
    async with serving_app("unix:///nowhere/engine.sock", "absent:1") as app:
        await app.status()
        before = open_things()
        yield app
        await app.status()
        async with asyncio.timeout(DEADLINE):
            # What closes a connection has no event.
            while any(now > then for now, then in zip(open_things(), before, strict=True)):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    errors = [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert [record.getMessage() for record in errors] == []


async def call(app: App, method: MethodDescriptor, request: bytes) -> grpc.StatusCode:
    """The code that a request is answered with, whatever is in it."""
    kind: Any = app.channel.unary_stream if method.server_streaming else app.channel.unary_unary
    path = f"/{method.containing_service.full_name}/{method.name}"
    call = kind(path)(request, timeout=DEADLINE)
    if method.server_streaming:
        with suppress(grpc.RpcError):
            async for _ in call:
                pass
    return await call.code()  # type: ignore[no-any-return]


@pytest.mark.parametrize("method", methods(), ids=lambda method: method.full_name)
@fuzz
@given(data=st.data())
async def test_a_mutated_message_is_refused_or_makes_sense(
    idle_app: App, method: MethodDescriptor, data: st.DataObject
) -> None:
    """No method has an unexpected error, whatever bytes it gets."""
    request = data.draw(mutated(method.input_type))
    if method.name != "Drain":  # after which nothing is accepted; its requests name no release
        release = (await idle_app.start()).name.removeprefix("releases/")
        request = request.replace(RELEASE_ID.encode(), release.encode())
    code = await call(idle_app, method, request)
    assert code in EXPECTED


@fuzz
@given(request=encoded(StartReleaseRequest.DESCRIPTOR).map(StartReleaseRequest.FromString))
async def test_a_request_that_happens_to_make_sense_is_seen_to_its_end(
    app: App, request: StartReleaseRequest
) -> None:
    """It can be stored, prepared, watched and listed, whatever is in it; its image is nowhere to be run."""
    request.MergeFrom(app.request("true", image="releasephase-test/absent:1", pull_policy=PULL_POLICY_NEVER))
    request.validate_only = False
    call = app.stub.StartRelease(request)
    if await call.code() is not grpc.StatusCode.OK:
        assert await call.code() in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.ALREADY_EXISTS}
        return
    outcome = await app.outcome((await call).name)
    assert outcome.cause == "IMAGE_UNAVAILABLE"
    page = await app.stub.ListReleases(ListReleasesRequest(page_size=1))
    assert page.releases[0].labels == request.labels


@fuzz
@given(written=connections())
async def test_bytes_that_are_no_grpc_close_their_connection_only(idle_app: App, written: bytes) -> None:
    """A caller that is not one gets an end, a reset or nothing, and everybody else is served."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        async with asyncio.timeout(DEADLINE):
            await loop.sock_connect(connection, str(idle_app.config.server.socket))
            with suppress(ConnectionResetError, BrokenPipeError):
                await loop.sock_sendall(connection, written)
                connection.shutdown(socket.SHUT_WR)
                while await loop.sock_recv(connection, 1 << 16):
                    pass
    await idle_app.status()
