"""Verifying in a process of its own, which ends with whoever asked for it."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from released.audit.verification.findings import Report
from released.model.receipt import Receipt

MODULE = "released.audit.verification"


class VerificationFailed(Exception):
    """The log could not be verified; the message says why."""


async def verify(path: Path, receipts: Sequence[Receipt] = ()) -> Report:
    """Verify the log at `path`, which is open here; the writer goes on. Raises VerificationFailed.

    Until it ends, the write-ahead log grows instead of being used again from its start.
    """
    # -P: whatever lies in the working directory is no module of ours.
    given = [f"--receipt={receipt}" for receipt in receipts]
    command = [sys.executable, "-P", "-m", MODULE, "--live", *given, "--", str(path)]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # with the processes that it starts, it is a group
    )
    try:
        output, errors = await process.communicate()
    finally:
        # One that has come to its end has seen to its own.
        if process.returncode is None or process.returncode < 0:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    if not output:
        message = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise VerificationFailed(message or f"the process ended with {process.returncode}")
    return msgspec.json.decode(output, type=Report)
