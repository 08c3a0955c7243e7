"""The peer that everybody has at hand: `docker run --rm`, and `docker exec` in a container that waits."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.peers import Place
from bench.process import run
from support import debian

LIKE_OURS = ("--init", "--log-driver", "local")
"""Options of `docker run` that make a container like the daemon's."""

# Which of Debian's packages has the program changed with Debian 13.
_PACKAGES = ("docker.io", "docker-cli")


class DockerRun:
    """A container for each command."""

    def __init__(self, docker: Path, place: Place, version: str) -> None:
        self.version = version
        self._command = (docker, "run", "--rm", *LIKE_OURS, place.image)

    async def run(self, count: int) -> None:
        """Run `true` so many times."""
        for _ in range(count):
            await run(*self._command, "true")


class DockerExec:
    """One container, which is created and removed with it, and an exec for each command."""

    def __init__(self, docker: Path, place: Place, version: str) -> None:
        self.version = version
        self._docker, self._image = docker, place.image

    async def run(self, count: int) -> None:
        """Run `true` so many times."""
        started = await run(self._docker, "run", "--detach", *LIKE_OURS, self._image, "sleep", "3600")
        container = started.decode().strip()
        try:
            for _ in range(count):
                await run(self._docker, "exec", container, "true")
        finally:
            await run(self._docker, "rm", "--force", "--volumes", container)


@asynccontextmanager
async def run_opened(place: Place) -> AsyncIterator[DockerRun]:
    """Have `docker run`."""
    docker = await asyncio.to_thread(find_docker)
    yield DockerRun(docker, place, await version_of(docker))


@asynccontextmanager
async def exec_opened(place: Place) -> AsyncIterator[DockerExec]:
    """Have `docker exec`."""
    docker = await asyncio.to_thread(find_docker)
    yield DockerExec(docker, place, await version_of(docker))


async def version_of(docker: Path) -> str:
    """Ask the client."""
    return (await run(docker, "version", "--format", "{{.Client.Version}}")).decode().strip()


def find_docker() -> Path:
    """The machine's own program, else Debian's, unpacked below the build folder."""
    if found := debian.which("docker"):
        return Path(found)
    for package in _PACKAGES:
        program = debian.unpacked(package) / "usr/bin/docker"
        if program.exists():
            return program
    raise debian.SetupError("there is no docker program here; Debian's docker.io or docker-cli has one")
