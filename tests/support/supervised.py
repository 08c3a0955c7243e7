"""The release container's supervisor without an engine: real, under any shell, shut off from the machine.

The supervisor signals every process that it can reach, so it runs in a PID namespace of its own, below an
init that does what docker-init does: pass on SIGTERM, reap, and end as its child ends. In a mount namespace
of its own, the shell to be tried stands in the place of /bin/sh, as it does in an image that has it.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from released.engine.container import supervised
from released.model.release import ReleaseSpec
from released.release.markers import Marker, MarkerParser
from support.samples import a_spec

NONCE = "0123456789abcdef0123456789abcdef"

DEADLINE = 60.0
"""Seconds after which a supervisor that hangs fails its test."""

_ENTER = 'mount --bind "$1" /bin/sh && shift && exec "$@"'

_INIT = """
import os, signal, sys
if os.getpid() != 1:
    sys.exit("not in a PID namespace of its own")
def forward(number, _):
    try:
        os.kill(child, number)
    except ProcessLookupError:
        pass
forwarded = {signal.SIGTERM, signal.SIGURG}
signal.pthread_sigmask(signal.SIG_BLOCK, forwarded)
child = os.fork()
if child:
    for number in forwarded:
        signal.signal(number, forward)
signal.pthread_sigmask(signal.SIG_UNBLOCK, forwarded)
if not child:
    os.execve(sys.argv[1], sys.argv[1:], {"PATH": os.environ["PATH"]})
while True:
    pid, status = os.wait()
    if pid == child:
        code = os.waitstatus_to_exitcode(status)
        sys.exit(code if code >= 0 else 128 - code)
"""


class Ended(NamedTuple):
    """What a supervisor left: both streams, read as the daemon reads them, and its exit code."""

    stdout: list[bytes | Marker]
    stderr: list[bytes | Marker]
    exit_code: int


class Supervised:
    """A supervisor that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._stdout = b""

    async def write(self, data: bytes) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def until(self, text: bytes) -> None:
        """Read standard output until this has appeared."""
        assert self._process.stdout is not None
        while text not in self._stdout:
            chunk = await self._process.stdout.read(65536)
            assert chunk, f"{text!r} never appeared in {self._stdout!r}"
            self._stdout += chunk

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._send(signal.SIGTERM)

    def ask(self) -> None:
        """Ask where the streams are."""
        self._send(signal.SIGURG)

    def _send(self, number: signal.Signals) -> None:
        """Send a signal as the engine does: to the init, and to nobody else."""
        unshare = self._process.pid
        (init,) = Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split()
        os.kill(int(init), number)

    async def end(self) -> Ended:
        """Close its standard input and wait for its end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        return await self.end_by_itself()

    async def end_by_itself(self) -> Ended:
        """Wait for its end, and leave its standard input open."""
        process = self._process
        assert process.stdout is not None
        assert process.stderr is not None
        rest, errors = await asyncio.gather(process.stdout.read(), process.stderr.read())
        return Ended(_items(self._stdout + rest), _items(errors), await process.wait())


@asynccontextmanager
async def supervisor(shell: Path, *lines: str, spec: ReleaseSpec | None = None) -> AsyncIterator[Supervised]:
    """Start the supervisor with these lines, as the release container does."""
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
        *("/bin/sh", "-c", _ENTER, "sh", shell),
        *(sys.executable, "-c", _INIT),
        *supervised(spec or a_spec(*lines), NONCE).arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE):
            yield Supervised(process)
    finally:
        if process.returncode is None:
            process.kill()  # and with it, everything in the namespace
        await process.wait()


async def run(shell: Path, *lines: str, gates: bytes | None = None) -> Ended:
    """Run lines to their end; without `gates`, each one's gate is opened once."""
    if gates is None:
        gates = b"".join(b"go %d\n" % index for index in range(len(lines)))
    async with supervisor(shell, *lines) as running:
        await running.write(gates)
        return await running.end()


def _items(stream: bytes) -> list[bytes | Marker]:
    parser = MarkerParser(NONCE)
    items: list[bytes | Marker] = parser.feed(stream)
    rest = parser.finish()
    return [*items, rest] if rest else items
