"""A container that serves an application, for releases that are to be like it: fixtures."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple

import aiodocker
import pytest

from released.config import PolicyTable
from releasephase.v1.release_pb2 import Mount
from support.app import ANY_MOUNT, App, Serve
from support.other_container import a_container, a_name, a_network

PASSWORD = "tr0ub4dor-and-3"
TOKEN = "0123456789abcdef"
QUIET = "a value that nobody prints"
VARIABLES = {
    "LEVEL": "debug",
    "DATABASE_URL": f"postgres://shop:{PASSWORD}@db/shop",
    "API_TOKEN": TOKEN,
    "QUIET": QUIET,
    "RELEASE_COMMAND": "of another one",
    "RELEASEPHASE_TARGET": "bank/live",
}
SHOWN = PolicyTable(mounts=ANY_MOUNT, like_containers=("rp-web-*",))
"""Who may deploy may be like any of these containers."""


class Web(NamedTuple):
    """A container that serves, and what it has."""

    name: str
    container_id: str
    networks: tuple[str, str]
    folder: Path
    volume: str

    @property
    def mounts(self) -> list[Mount]:
        """Those that outlive it."""
        return [
            Mount(source=str(self.folder), target="/config", read_only=True),
            Mount(source=self.volume, target="/data"),
        ]


def written(variables: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in variables.items()]


@pytest.fixture
def web_image(make_busybox_image: Callable[..., str]) -> str:
    """The image of the version that serves."""
    return make_busybox_image("ENV GREETING=hello", "ENV LEVEL=info", "VOLUME /cache")


@pytest.fixture
async def web(docker: aiodocker.Docker, web_image: str, tmp_path: Path) -> AsyncIterator[Web]:
    """With variables, two networks, a folder, a volume with a name and others without one, and a user."""
    tmp_path.chmod(0o755)  # for its user
    (tmp_path / "file").write_text("from the host\n")
    volume = a_name("volume")
    mounts = [
        {"Type": "bind", "Source": str(tmp_path), "Target": "/config", "ReadOnly": True},
        {"Type": "volume", "Source": volume, "Target": "/data"},
        {"Type": "volume", "Target": "/anonymous"},
        {"Type": "tmpfs", "Target": "/memory"},
    ]
    async with AsyncExitStack() as stack:
        one, other = [await stack.enter_async_context(a_network(docker)) for _ in range(2)]
        stack.push_async_callback(docker._query_json, f"volumes/{volume}", method="DELETE")
        name, container_id = await stack.enter_async_context(
            a_container(
                docker,
                web_image,
                networks=(one, other),
                host={"Mounts": mounts},
                Env=written(VARIABLES),
                User="app",
            )
        )
        yield Web(name, container_id, (one, other), tmp_path, volume)


@pytest.fixture
async def like_app(serve: Serve) -> AsyncIterator[App]:
    """A daemon whose policy lets releases be like the containers of these tests."""
    async with serve(policy=SHOWN) as app:
        yield app
