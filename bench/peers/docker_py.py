"""The peer in Python: docker-py, in a process of its own that stays, so that nothing is imported anew."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.peers import Place
from bench.peers.installing import python_of
from bench.rounds import NotMeasured

_VERSION = "7.1.0"
_DRIVER = Path(__file__).with_name("docker_py_driver.py")


class DockerPy:
    """Containers of one image, through the library."""

    version = _VERSION

    def __init__(self, process: asyncio.subprocess.Process, image: str) -> None:
        self._process, self._image = process, image

    async def run(self, count: int) -> None:
        """Run `true` so many times, each in a container."""
        await self._ask(work="commands", count=count)

    async def stream(self, line: str, log_options: Mapping[str, str]) -> int:
        """Follow the output of a shell line; return how many bytes came."""
        answer = await self._ask(work="stream", line=line, log_options=dict(log_options))
        if answer["status"] != 0:
            raise NotMeasured(f"the container ended with {answer['status']}")
        return int(answer["received"])

    async def _ask(self, **asked: Any) -> dict[str, Any]:
        if self._process.stdin is None or self._process.stdout is None:
            raise NotMeasured("docker-py has no pipes")
        self._process.stdin.write(json.dumps(asked | {"image": self._image}).encode() + b"\n")
        await self._process.stdin.drain()
        answer: dict[str, Any] = json.loads(
            await self._process.stdout.readline() or b'{"error": "it has ended"}'
        )
        if "error" in answer:
            raise NotMeasured(f"docker-py: {answer['error']}")
        return answer


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[DockerPy]:
    """Start the process, and end it behind the block."""
    python = await asyncio.to_thread(python_of, f"docker=={_VERSION}")
    process = await asyncio.create_subprocess_exec(
        python, _DRIVER, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        yield DockerPy(process, place.image)
    finally:
        process.kill()
        await process.wait()
