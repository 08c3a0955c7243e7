"""One command that writes much: every byte has to be seen, and to be stored."""

import asyncio
import base64
import hashlib
import subprocess

from bench.machine import disk_remark
from bench.memory import memory_of, reset_peak
from bench.part import Measured, Setting, judged
from bench.peers.docker_cli import LIKE_OURS, find_docker
from bench.process import run
from bench.release import ReleaseCaller, stored_bytes
from bench.rounds import Figures, NotMeasured, measure
from bench.rows import Better, Bound, Comparison, Row, Unit
from support.daemon import Daemon, running_daemon

OUTPUT_BYTES = 200_000_000
"""Below the daemon's default cap, so that all of it is to be stored."""

_LINE = "2026-01-31 12:00:00 INFO applied shop.0042_prices to 1024 rows"
_SECRETS = {
    f"SECRET_{number}": base64.b64encode(hashlib.sha256(b"%d" % number).digest()).decode()
    for number in range(300)
}
"""Of 44 characters each, none of which is in the output: every byte of it is searched for all of them."""
_OUTPUT = f"yes '{_LINE}' | head -c {OUTPUT_BYTES}"

_RELEASE = "one release of it, watched"
_MASKED = "the same release, with 300 secrets"
_LIMIT = "docker run --rm … >/dev/null"
_MEMORY = "the daemon, at most, above idle"

ROWS: tuple[Row, ...] = (
    Comparison("200 MB of text, stored: throughput", _RELEASE, _LIMIT, Better.MORE, 0.95),
    Comparison("200 MB of text, masked: throughput", _MASKED, _RELEASE, Better.MORE, 0.95),
    Bound("200 MB of text: memory", _MEMORY, 32, Unit.MIB),
)


def measure_part(setting: Setting) -> Measured:
    """Measure what becomes of much output."""
    with running_daemon(setting.engine.url) as daemon:
        figures = asyncio.run(_measure(setting, daemon))
        return Measured(judged(ROWS, figures), [disk_remark(daemon.audit)])


async def _measure(setting: Setting, daemon: Daemon) -> dict[str, Figures]:
    idle, memory = memory_of(daemon.process.pid).resident, list[float]()
    docker, image = find_docker(), setting.image()

    async def release() -> None:
        reset_peak(daemon.process.pid)
        await caller.run(_OUTPUT)
        memory.append((memory_of(daemon.process.pid).peak - idle) / 1024)

    async def masked_release() -> None:
        await caller.run(_OUTPUT, secrets=_SECRETS)

    async def docker_run() -> None:
        await run(
            docker, "run", "--rm", *LIKE_OURS, image, "/bin/sh", "-c", _OUTPUT, output=subprocess.DEVNULL
        )

    async with ReleaseCaller.connected(daemon.socket, image) as caller:
        figures = await measure(
            {_RELEASE: release, _MASKED: masked_release, _LIMIT: docker_run}, setting.rounds
        )
        figures[_MEMORY] = figures[_RELEASE]._replace(values=tuple(memory[1:]))
    try:
        _insist_on_every_byte(caller, daemon)
    except NotMeasured as error:
        figures |= dict.fromkeys((_RELEASE, _MASKED), Figures(failure=error))
    return figures


def _insist_on_every_byte(caller: ReleaseCaller, daemon: Daemon) -> None:
    for name, seen in caller.output_bytes.items():
        stored = stored_bytes(daemon.audit, name)
        if not seen == stored == OUTPUT_BYTES:
            raise NotMeasured(f"of {OUTPUT_BYTES} bytes, {stored} were stored and {seen} seen by the watcher")
