"""Following much output with the docker program: `docker run` itself, and `docker logs -f` beside it."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.process import run
from bench.rounds import NotMeasured


class Following:
    """Containers like the daemon's, their logs with options of their own."""

    def __init__(
        self, docker: Path, image: str, foreground: Mapping[str, str], background: Mapping[str, str]
    ) -> None:
        self._docker, self._image = docker, image
        self._foreground, self._background = _options(foreground), _options(background)

    async def docker_run(self, line: str) -> None:
        """Run a shell line in the foreground, its output thrown away."""
        command = (self._image, "/bin/sh", "-c", line)
        await run(self._docker, "run", "--rm", *self._foreground, *command, output=subprocess.DEVNULL)

    async def docker_logs(self, line: str, reader: str = ">/dev/null") -> bytes:
        """Run a shell line in the background and follow its log; return what the reader of the log prints."""
        command = (self._image, "/bin/sh", "-c", line)
        started = await run(self._docker, "run", "--detach", *self._background, *command)
        container = started.decode().strip()
        try:
            follow = f'"$0" logs --follow "$1" {reader}'
            printed = await run("sh", "-c", follow, self._docker, container)
            status = (await run(self._docker, "wait", container)).decode().strip()
        finally:
            await run(self._docker, "rm", "--force", "--volumes", container)
        if status != "0":
            raise NotMeasured(f"the container ended with {status}")
        return printed

    async def insist_on_every_byte(self, line: str, size: int) -> None:
        """Count once what `docker logs` gives: when it is timed, it is thrown away."""
        counted = int(await self.docker_logs(line, reader="| wc -c"))
        if counted != size:
            raise NotMeasured(f"docker logs gave {counted} of {size} bytes")


def _options(log: Mapping[str, str]) -> tuple[str, ...]:
    return "--init", "--log-driver", "local", *(f"--log-opt={name}={value}" for name, value in log.items())
