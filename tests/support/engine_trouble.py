"""Releases on a real engine of each test's own, which the test ends, stops and starts again."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from releasephase.v1.release_pb2 import Mount
from support import busybox, debian
from support.app import STDERR, STDOUT, App, Outcome, serving_app
from support.private_docker import PrivateDocker, private_docker

RELEASE_SERVICE = "releasephase.v1.ReleaseService"


SERVING = health_pb2.HealthCheckResponse.SERVING


NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


PATIENCE = 90.0
"""Seconds after which a test fails in which something does not happen that must."""


COUNT = (
    "echo >> /m/runs; i=0; until [ -e /m/enough ]; do echo out $i; echo err $i >&2; "
    "while [ -e /m/hold ]; do echo $i > /m/held; sleep 0.01; done; i=$((i+1)); sleep 0.01; "
    "done; echo last $i"
)
"""Numbers its lines on both streams until somebody has had enough, with pauses; counts its runs."""


@pytest.fixture
def dockerd() -> Iterator[PrivateDocker]:
    """An engine of this test's own, not started yet."""
    if os.geteuid() != 0 or not debian.which("dockerd"):
        pytest.skip("only root can start an engine of its own, where dockerd is installed")
    with private_docker() as docker:
        yield docker


@asynccontextmanager
async def serving(docker: PrivateDocker, *, live_restore: bool) -> AsyncIterator[App]:
    """Start the engine, and a daemon that gives each control call two seconds."""
    docker.start(live_restore=live_restore)
    image = docker.engine.make_image(busybox.shell_image())
    async with (
        asyncio.timeout(PATIENCE),
        serving_app(docker.url, image, engine={"control_timeout": 2.0}) as app,
    ):
        yield app


def mounted(folder: Path) -> list[Mount]:
    return [Mount(source=str(folder), target="/m")]


def assert_counted(outcome: Outcome, folder: Path, index: int = 0) -> None:
    """The command ran once, and each line that it wrote is stored once."""
    *_, last = outcome.output(index, STDOUT).split()
    count = int(last)
    expected = "".join(f"out {number}\n" for number in range(count)) + f"last {count}\n"
    assert outcome.output(index, STDOUT).decode() == expected
    assert outcome.output(index, STDERR).decode() == "".join(f"err {number}\n" for number in range(count))
    assert (folder / "runs").read_text() == "\n"


def health_stub(channel: grpc.Channel | grpc.aio.Channel) -> Any:
    """The stub for a channel of either kind; its types know neither."""
    return health_pb2_grpc.HealthStub(channel)


async def health_becomes(app: App, status: int) -> None:
    """Wait until the daemon says so of its release service."""
    request = health_pb2.HealthCheckRequest(service=RELEASE_SERVICE)
    async for answer in health_stub(app.channel).Watch(request, timeout=PATIENCE):
        if answer.status == status:
            return
    raise AssertionError("the watch ended")


async def end_between_lines(app: App, name: str, folder: Path, end: Callable[[], object]) -> None:
    """End the engine while it has no line in its hands: one that it has read and not stored yet is lost."""
    (folder / "held").unlink(missing_ok=True)
    (folder / "hold").touch()
    await exists(folder / "held")
    while not (number := (folder / "held").read_text().rstrip("\n")):  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)
    for stream in ("out", "err"):
        await app.until_output(name, f"{stream} {number}\n".encode())
    await asyncio.to_thread(end)
    (folder / "hold").unlink()


async def exists(path: Path) -> None:
    """Wait until a command has made this file."""
    while not path.exists():  # noqa: ASYNC110 - a file has no event
        await asyncio.sleep(0.01)
