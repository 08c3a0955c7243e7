"""The peer of every query: Debian's `sqlite3` shell, one process for many questions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from bench.rounds import NotMeasured
from support import debian

_END = b"that is all"


class SqliteShell:
    """A shell that has a database open, to be read only."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    @asynccontextmanager
    async def opened(cls, path: Path) -> AsyncIterator["SqliteShell"]:
        """Run the shell until the end of the block; it is installed if it is missing."""
        await asyncio.to_thread(debian.require, {"sqlite3": "sqlite3"})
        process = await asyncio.create_subprocess_exec(
            *("sqlite3", "-readonly", "-batch", path),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=64 * 1024 * 1024,
        )
        try:
            yield cls(process)
        finally:
            process.kill()
            await process.wait()

    async def ask(self, sql: str) -> list[bytes]:
        """Return the lines that a statement prints. Raises NotMeasured when they are an error."""
        if self._process.stdin is None or self._process.stdout is None:
            raise NotMeasured("the shell has no pipes")
        self._process.stdin.write(f"{sql};\n.print {_END.decode()}\n".encode())
        await self._process.stdin.drain()
        answer = await self._process.stdout.readuntil(_END + b"\n")
        lines = answer.removesuffix(_END + b"\n").splitlines()
        if lines and b"rror" in lines[0][:20]:
            raise NotMeasured(f"sqlite3 says: {lines[0].decode(errors='replace')}")
        return lines
