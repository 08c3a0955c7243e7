"""The peer that everybody has at hand: `docker run --rm`."""

import asyncio
from pathlib import Path

from bench.rounds import NotMeasured
from support import debian

# Which of Debian's packages has the program changed with Debian 13.
_PACKAGES = ("docker.io", "docker-cli")


class DockerCLI:
    """The command-line program, for containers like the daemon's; it finds the engine in DOCKER_HOST."""

    def __init__(self, image: str) -> None:
        self._program = _find()
        self._image = image

    async def run(self, *command: str) -> None:
        """Run a container to its end, its output thrown away."""
        if self._program is None:
            raise NotMeasured("there is no docker program here; Debian's docker.io has one")
        process = await asyncio.create_subprocess_exec(
            *(self._program, "run", "--rm", "--init", "--log-driver", "local", self._image, *command),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, complaint = await process.communicate()
        except asyncio.CancelledError:
            # It passes the signal on, and --rm removes the container.
            process.terminate()
            await process.wait()
            raise
        if process.returncode != 0:
            words = complaint.decode(errors="replace").strip()
            raise NotMeasured(f"docker run ended with {process.returncode}: {words}")


def _find() -> str | None:
    """The machine's own program, else Debian's, unpacked below the build folder."""
    if found := debian.which("docker"):
        return found
    for package in _PACKAGES:
        try:
            program: Path = debian.unpacked(package) / "usr/bin/docker"
        except debian.SetupError:
            continue
        if program.exists():
            return str(program)
    return None
