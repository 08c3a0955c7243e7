"""Runs `releasectl` as a shell would: on pipes, or on a terminal of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

RELEASECTL = Path(sys.executable).with_name("releasectl")


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    exit_code: int
    stdout: bytes
    stderr: str


def environment(socket: Path, **more: str) -> dict[str, str]:
    """Return a small, known environment in which the daemon is found."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "RELEASED_SOCKET": str(socket), **more}


async def releasectl(
    socket: Path,
    *arguments: str,
    stdin: bytes = b"",
    stdout: int | IO[bytes] = asyncio.subprocess.PIPE,
    environ: Mapping[str, str] | None = None,
) -> Result:
    """Run releasectl on pipes to its end."""
    process = await start(socket, *arguments, stdout=stdout, environ=environ)
    output, messages = await process.communicate(stdin)
    assert process.returncode is not None
    return Result(process.returncode, output, messages.decode())


async def start(
    socket: Path,
    *arguments: str,
    stdout: int | IO[bytes] = asyncio.subprocess.PIPE,
    environ: Mapping[str, str] | None = None,
) -> asyncio.subprocess.Process:
    """Start releasectl on pipes."""
    return await asyncio.create_subprocess_exec(
        RELEASECTL,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=stdout,
        stderr=asyncio.subprocess.PIPE,
        env=environment(socket, **(environ or {})),
    )


class Terminal:
    """A terminal with releasectl in it."""

    def __init__(
        self, descriptor: int, reader: asyncio.StreamReader, process: asyncio.subprocess.Process
    ) -> None:
        self.process = process
        self.seen = ""
        self._descriptor = descriptor
        self._reader = reader

    def type(self, keys: bytes) -> None:
        """Type something."""
        os.write(self._descriptor, keys)

    async def read_until(self, text: str) -> None:
        """Read what appears until the text has appeared."""
        while text not in self.seen:
            chunk = await self._read()
            assert chunk, f"{text!r} never appeared in {self.seen!r}"
            self.seen += chunk

    async def read_to_end(self) -> str:
        """Read until releasectl has ended and return all that appeared."""
        while chunk := await self._read():
            self.seen += chunk
        await self.process.wait()
        return self.seen

    async def _read(self) -> str:
        try:
            return (await self._reader.read(65536)).decode()
        except OSError:
            return ""  # Linux says EIO when the last process has left the terminal.


@asynccontextmanager
async def terminal(
    socket: Path, *arguments: str, columns: int = 100, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Terminal]:
    """Start releasectl on a terminal of its own, which is its controlling terminal, too."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    process = await asyncio.create_subprocess_exec(
        # Only a controlling terminal turns Ctrl-C into a signal.
        "setsid",
        "--ctty",
        RELEASECTL,
        *arguments,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(socket, **{"TERM": "xterm-256color"} | dict(environ or {})),
    )
    os.close(theirs)
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours, "rb", buffering=0)
    )
    try:
        yield Terminal(ours, reader, process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        transport.close()
