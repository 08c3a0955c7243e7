"""Verifying an audit log without a daemon, by what the daemon itself verifies it with: a process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable
from contextlib import suppress

from google.protobuf import json_format

from releasephase.v1.audit_service_pb2 import VerifyAuditResponse

from .exceptions import NotFound, PermissionDenied, ReleasephaseError

MODULE = "released.audit.verification"

_ERRORS = {3: NotFound, 4: PermissionDenied}
"""What the module's exit codes mean."""


async def verify(file: str, receipts: Iterable[tuple[int, str]]) -> VerifyAuditResponse:
    """Return the problems of an audit log's database, or of an export. Nothing of it is changed.

    Raises:
        ReleasephaseError: it can't be verified.
    """
    given = [f"--receipt={sequence}:{digest}" for sequence, digest in receipts]
    process = await asyncio.create_subprocess_exec(
        # -P: whatever lies in the working directory is no module of ours.
        *(sys.executable, "-P", "-m", MODULE, *given, "--", file),
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
        kind = _ERRORS.get(process.returncode or 0, ReleasephaseError)
        raise kind(message or f"{MODULE} ended with {process.returncode}")
    return json_format.Parse(output, VerifyAuditResponse(), ignore_unknown_fields=True)
