"""Running a peer's program to its end."""

import asyncio
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.rounds import NotMeasured


async def run(
    program: Path | str,
    *arguments: str | Path,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    output: int = subprocess.PIPE,
) -> bytes:
    """Return what it prints, unless that goes elsewhere. Raises NotMeasured when it ends with anything but 0.

    When we are cancelled it is told to end, and waited for: what it made is its own to remove.
    """
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
    )
    try:
        printed, complaint = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    if process.returncode != 0:
        words = complaint.decode(errors="replace").strip()[-500:]
        raise NotMeasured(f"{Path(program).name} ended with {process.returncode}: {words}")
    return printed or b""
