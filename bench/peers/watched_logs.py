"""The peer of whoever watches: `docker logs --follow`."""

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

from bench.peers.docker_cli import find_docker
from bench.rounds import NotInstalled
from support.debian import SetupError

_PIECE = 1 << 16
"""Bytes that are read in one go."""


def required_docker() -> Path:
    """Find the program. Raises NotInstalled when it can't be had."""
    try:
        return find_docker()
    except SetupError as error:
        raise NotInstalled(str(error)) from error


async def follow_logs(docker: Path, container: str, take: Callable[[bytes], None]) -> None:
    """Hand on what a container writes to its standard output, until it has ended."""
    process = await asyncio.create_subprocess_exec(
        *(docker, "logs", "--follow", container),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        if process.stdout:
            while piece := await process.stdout.read(_PIECE):
                take(piece)
    except asyncio.CancelledError:
        process.kill()
        raise
    finally:
        await process.wait()
