"""buildbot: a build whose shell steps are `docker run`, of a master and a worker in processes of their own.

A build is forced over the master's HTTP API, and asked for every 20 ms until it has ended. The master's
state is in SQLite, as in its default.
"""

import asyncio
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from bench.peers import Place
from bench.peers.docker_cli import LIKE_OURS, find_docker
from bench.peers.installing import python_of
from bench.process import run
from bench.rounds import NotMeasured
from support.debian import SetupError

_VERSION = "4.3.0"
_PACKAGES = tuple(f"{name}=={_VERSION}" for name in ("buildbot", "buildbot-worker", "buildbot-www"))
_CONFIGURATION = Path(__file__).with_name("buildbot_master.py")
_ASK_EVERY = 0.02
_START_SECONDS = 60

_MASTER = ("-c", "from buildbot.scripts.runner import run; run()")
_WORKER = ("-c", "from buildbot_worker.scripts.runner import run; run()")
_WORKER_TAC = """\
from buildbot_worker.bot import Worker
from twisted.application.service import Application
application = Application('buildbot-worker')  # buildbot-worker looks for just this
Worker(
    None, None, "bench", "bench", {folder!r}, keepalive=600, connection_string="unix:path={socket}"
).setServiceParent(application)
"""


class Buildbot:
    """A master with a worker, over the master's HTTP API."""

    version = _VERSION

    def __init__(self, api: aiohttp.ClientSession) -> None:
        self._api = api

    async def run(self, count: int) -> None:
        """Run the build of so many commands, to its end."""
        call = {"jsonrpc": "2.0", "method": "force", "params": {}, "id": 1}
        try:
            async with self._api.post(f"/api/v2/forceschedulers/force-{count}", json=call) as response:
                answer = await response.json(content_type=None)
            buildset, _ = answer["result"]
            results = await self._end_of(buildset)
        except (aiohttp.ClientError, OSError, KeyError) as error:
            raise NotMeasured(f"buildbot failed: {error!r}") from error
        if results != 0:
            raise NotMeasured(f"the build ended with {results}")

    async def _end_of(self, buildset: int) -> Any:
        while True:
            (found,) = (await self.get(f"/api/v2/buildsets/{buildset}"))["buildsets"]
            if found["complete"]:
                return found["results"]
            await asyncio.sleep(_ASK_EVERY)

    async def wait_for_worker(self) -> None:
        """Return when the worker is connected."""
        while True:
            try:
                if any(found["connected_to"] for found in (await self.get("/api/v2/workers"))["workers"]):
                    return
            except aiohttp.ClientConnectionError:
                pass  # the master has not started yet
            await asyncio.sleep(_ASK_EVERY)

    async def get(self, path: str) -> Any:
        """Ask for JSON."""
        async with self._api.get(path) as response:
            return await response.json(content_type=None)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Buildbot]:
    """Run a master and a worker until the end of the block."""
    python = await asyncio.to_thread(python_of, *_PACKAGES)
    # A short path: a unix socket's may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="rp-buildbot-", dir="/tmp") as name:
        folder = Path(name)
        docker = str(await asyncio.to_thread(find_docker))
        told = {
            "folder": name,
            "counts": place.counts,
            "command": [docker, "run", "--rm", *LIKE_OURS, place.image, "true"],
        }
        await _prepare(python, folder, told)
        connector = aiohttp.UnixConnector(str(folder / "www.sock"))
        async with (
            _running(folder / "master", python, *_MASTER),
            _running(folder / "worker", python, *_WORKER),
            aiohttp.ClientSession("http://localhost", connector=connector) as api,
        ):
            buildbot = Buildbot(api)
            try:
                async with asyncio.timeout(_START_SECONDS):
                    await buildbot.wait_for_worker()
            except TimeoutError:
                last = (folder / "master/twistd.log").read_text(errors="replace")[-500:]
                raise SetupError(f"buildbot was not ready within {_START_SECONDS} seconds: {last}") from None
            yield buildbot


async def _prepare(python: Path, folder: Path, told: dict[str, Any]) -> None:
    master, worker = folder / "master", folder / "worker"
    try:
        await run(python, *_MASTER, "create-master", "--quiet", master)
    except NotMeasured as error:
        raise SetupError(str(error)) from error
    (master / "told.json").write_text(json.dumps(told))
    shutil.copy(_CONFIGURATION, master / "master.cfg")
    worker.mkdir()
    (worker / "buildbot.tac").write_text(_WORKER_TAC.format(folder=str(worker), socket=folder / "pb.sock"))


@asynccontextmanager
async def _running(folder: Path, python: Path, *start: str) -> AsyncIterator[None]:
    with (folder / "twistd.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            python,
            *(*start, "start", "--nodaemon"),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
