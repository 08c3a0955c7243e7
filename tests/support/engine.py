"""Fixtures: the engine, an asynchronous client for it, and tiny images that are made without any registry."""

import os
from collections.abc import AsyncIterator, Callable, Iterator

import aiodocker
import pytest
import pytest_asyncio

from support import busybox
from support.docker_engine import RELEASE_LABEL, Engine

__all__ = ["RELEASE_LABEL", "Engine"]


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The engine that DOCKER_HOST names. Without one a test fails: a skipped test proves nothing."""
    url = os.environ.get("DOCKER_HOST")
    if not url:
        pytest.fail(
            "DOCKER_HOST is not set: run `make test`, or `scripts/with-engine .venv/bin/python -m pytest …`"
        )
    return Engine.at(url)


@pytest_asyncio.fixture
async def docker(engine: Engine) -> AsyncIterator[aiodocker.Docker]:
    """An aiodocker client for the test itself, apart from the one of the product."""
    async with aiodocker.Docker(engine.url) as client:
        yield client


@pytest.fixture(autouse=True)
def no_release_container_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test that had an engine: the product has removed each container that it created."""
    if "engine" not in request.fixturenames:
        yield
        return
    engine: Engine = request.getfixturevalue("engine")
    before = engine.release_containers()
    yield
    left = engine.release_containers() - before
    assert not left, f"the test left containers of releases behind: {', '.join(sorted(left))}"


@pytest.fixture(scope="session")
def busybox_image(engine: Engine) -> str:
    """A tiny image with /bin/sh, users root and app (1000), and a writable /tmp."""
    return engine.make_image(busybox.shell_image())


@pytest.fixture(scope="session")
def make_busybox_image(engine: Engine) -> Callable[..., str]:
    """Make a variant: `make_busybox_image("USER app", 'ENTRYPOINT ["/bin/env"]')`."""

    def make(*changes: str) -> str:
        return engine.make_image(busybox.shell_image(), changes)

    return make


@pytest.fixture(scope="session")
def shell_less_image(engine: Engine) -> str:
    """An image with /bin/true, /bin/false and /bin/cat, and no shell."""
    return engine.make_image(busybox.shell_less_image(), name="shell-less")


@pytest.fixture(scope="session")
def dash_image(engine: Engine) -> str:
    """The tiny image with Debian's dash as its /bin/sh."""
    return engine.make_image(busybox.dash_image(), name="dash")
