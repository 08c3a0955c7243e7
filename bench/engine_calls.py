"""The limit: one container's life in bare engine calls, with nothing between us and the engine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

import aiohttp

from bench.rounds import NotMeasured

_UNIX = "unix://"


class BareEngine:
    """The engine's API over connections that stay open."""

    def __init__(self, url: str, image: str) -> None:
        connector: aiohttp.BaseConnector
        if url.startswith(_UNIX):
            connector, base = aiohttp.UnixConnector(url.removeprefix(_UNIX), limit=0), "http://localhost"
        else:
            connector, base = aiohttp.TCPConnector(limit=0), url.replace("tcp://", "http://")
        self._session = aiohttp.ClientSession(base, connector=connector)
        self._image = image

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def run_true(self) -> None:
        """Create, attach, start, wait, delete: what no release in a container can do without."""
        try:
            ended = await self._live_and_die()
        except (aiohttp.ClientError, OSError) as error:
            raise NotMeasured(f"the engine failed: {error!r}") from error
        if ended["StatusCode"] != 0:
            raise NotMeasured(f"`true` ended with {ended['StatusCode']}")

    async def _live_and_die(self) -> Any:
        created = await self.call("POST", "/containers/create", configuration(self._image, "/bin/true"))
        container = f"/containers/{created['Id']}"
        try:
            attached = await self._attach(container)
            await self.call("POST", f"{container}/start")
            ended = await self.call("POST", f"{container}/wait")
            attached.close()
        finally:
            await self.call("DELETE", f"{container}?v=1&force=1")
        return ended

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Return the engine's answer; an error of its is NotMeasured."""
        async with self._session.request(method, path, json=body) as response:
            answer = await response.read()
            if response.status >= 400:
                raise NotMeasured(f"{method} {path}: {answer.decode(errors='replace').strip()}")
            return await response.json() if answer else None

    @asynccontextmanager
    async def stream(self, method: str, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Hold an answer that goes on; the block gets its pieces as they come."""
        async with self._session.request(method, path) as response:
            if response.status >= 400:
                raise NotMeasured(f"{method} {path}: {(await response.text()).strip()}")
            yield response.content.iter_any()

    async def _attach(self, container: str) -> aiohttp.ClientResponse:
        """Take the three streams; the answer's connection is theirs until it is closed."""
        response = await self._session.post(
            f"{container}/attach?stream=1&stdin=1&stdout=1&stderr=1",
            headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        )
        if response.status != 101:
            raise NotMeasured(f"the engine answered {response.status} to attach")
        return response


def configuration(image: str, *command: str) -> dict[str, Any]:
    """What the daemon gives its containers, with a command in the supervisor's place."""
    return {
        "Image": image,
        "Cmd": command,
        "Labels": {"releasephase.bench": "bare engine calls"},
        "Tty": False,
        "OpenStdin": True,
        "StdinOnce": False,
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "Init": True,
            "AutoRemove": False,
            "RestartPolicy": {"Name": "no"},
            "LogConfig": {"Type": "local"},
        },
    }
