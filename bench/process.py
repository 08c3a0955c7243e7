"""Running programs: a peer's to its end, and a part of the bench in a process of its own."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from bench.rounds import NotMeasured
from support.daemon import BIN

REPOSITORY = Path(__file__).resolve().parents[1]


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


@asynccontextmanager
async def helper(
    module: str, *arguments: str | Path, ready: str, what: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a module in a process of its own; the block begins when it has said that it is ready.

    Raises NotMeasured, which names `what` it is, if that says something else first.
    """
    process = await asyncio.create_subprocess_exec(
        *(BIN / "python", "-m", module, *arguments), cwd=REPOSITORY, stdout=subprocess.PIPE
    )
    try:
        line = await process.stdout.readline() if process.stdout else b""
        if line.decode().strip() != ready:
            raise NotMeasured(f"{what} did not start")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
