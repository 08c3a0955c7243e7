"""The peer that everybody has at hand: `docker run --rm`, and `docker exec` in a container that waits."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from bench.peers import Place
from bench.process import run
from bench.rounds import NotMeasured
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


def docker_version() -> str:
    """Of the program that all parts use; or why there is none."""
    try:
        return asyncio.run(version_of(find_docker()))
    except (debian.SetupError, NotMeasured, OSError) as error:
        return str(error)


@cache
def find_docker() -> Path:
    """The machine's own program of the engine's version, else its first, else Debian's, unpacked."""
    path = [Path(folder) / "docker" for folder in os.get_exec_path()]
    if programs := [program for program in path if os.access(program, os.X_OK)]:
        return next(filter(_is_as_old_as_the_engine, programs), programs[0])
    for package in _PACKAGES:
        program = debian.unpacked(package) / "usr/bin/docker"
        if program.exists():
            return program
    raise debian.SetupError("there is no docker program here; Debian's docker.io or docker-cli has one")


def _is_as_old_as_the_engine(docker: Path) -> bool:
    """A client of another version does other work: then it would be measured, and not the engine's own."""
    command = [str(docker), "version", "--format", "{{.Client.Version}} {{.Server.Version}}"]
    printed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return len(printed) == 2 and printed[0] == printed[1]
