"""`docker compose run --rm`: the plugin if the machine has it, else Debian's docker-compose."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.peers import Place
from bench.peers.docker_cli import find_docker
from bench.peers.installing import debian_python
from bench.process import run
from bench.rounds import NotMeasured

_PROJECT = "releasephase-bench"


class Compose:
    """One service of one project, and a container for each command."""

    def __init__(
        self, command: tuple[str | Path, ...], environment: Mapping[str, str], folder: Path, version: str
    ) -> None:
        self.version = version
        self._command, self._environment, self._folder = command, environment, folder

    async def run(self, count: int) -> None:
        """Run `true` so many times."""
        for _ in range(count):
            await self.compose("run", "--rm", "-T", "app", "true")

    async def compose(self, *arguments: str) -> None:
        """Run it on the project."""
        project = ("--project-name", _PROJECT, *arguments)
        await run(*self._command, *project, environment=self._environment, folder=self._folder)


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Compose]:
    """Make a project, whose network is removed behind the block."""
    command, environment, version = await _find()
    with tempfile.TemporaryDirectory(prefix="rp-compose-") as name:
        folder = Path(name)
        service = {"image": place.image, "init": True, "logging": {"driver": "local"}}
        (folder / "compose.yaml").write_text(json.dumps({"version": "3.7", "services": {"app": service}}))
        compose = Compose(command, environment, folder, version)
        try:
            yield compose
        finally:
            await compose.compose("down")


async def _find() -> tuple[tuple[str | Path, ...], Mapping[str, str], str]:
    """The command, its environment, and its version."""
    plugin = (await asyncio.to_thread(find_docker), "compose")
    try:
        return plugin, os.environ, await _version(plugin, os.environ)
    except NotMeasured:
        package, environment = await asyncio.to_thread(debian_python, "docker-compose")
        program = (package / "usr/bin/docker-compose",)
        return program, environment, await _version(program, environment)


async def _version(command: tuple[str | Path, ...], environment: Mapping[str, str]) -> str:
    return (await run(*command, "version", "--short", environment=environment)).decode().strip()
