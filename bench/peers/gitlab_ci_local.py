"""gitlab-ci-local: a job of a pipeline on one's own machine, in a container, as GitLab's runner has it."""

import asyncio
import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.peers import Place
from bench.peers.installing import debian_programs, node_program
from bench.process import run
from bench.rounds import NotMeasured

_VERSION = "4.60.1"
"""The newest ones need a newer Node.js than Debian 12 has."""

_REPOSITORY = (
    ("init", "--quiet"),
    ("remote", "add", "origin", "git@gitlab.example:bench/bench.git"),
    ("add", "."),
    ("-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "--quiet", "--message", "Bench"),
)


class GitlabCILocal:
    """A job for each number of commands: the lines of its script, which share one container."""

    version = _VERSION

    def __init__(self, program: Path, place: Place, environment: Mapping[str, str], folder: Path) -> None:
        self._program, self._image, self._environment, self._folder = (
            program,
            place.image,
            environment,
            folder,
        )

    async def run(self, count: int) -> None:
        """Run a job with so many lines."""
        job = {"image": {"name": self._image, "entrypoint": [""]}, "script": ["true"] * count}
        (self._folder / ".gitlab-ci.yml").write_text(json.dumps({"release": job}))
        # Its own helper image would come from a registry.
        options = ("--pull-policy", "if-not-present", "--helper-image", self._image)
        said = await run(
            self._program, *options, "release", environment=self._environment, folder=self._folder
        )
        if (ran := said.count(b"$ true")) != count:
            raise NotMeasured(f"gitlab-ci-local ran {ran} of {count} commands")


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[GitlabCILocal]:
    """Make a repository for it."""
    program = await asyncio.to_thread(node_program, "gitlab-ci-local", _VERSION)
    tools = await asyncio.to_thread(debian_programs, "rsync", "libpopt0", "libxxhash0")
    with tempfile.TemporaryDirectory(prefix="rp-gitlab-") as name:
        (Path(name) / ".gitlab-ci.yml").touch()
        for command in _REPOSITORY:
            await run("git", *command, folder=Path(name))
        yield GitlabCILocal(program, place, os.environ | tools, Path(name))
