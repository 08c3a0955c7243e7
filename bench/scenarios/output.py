"""One command that writes much: every byte has to be seen, and to be stored durably."""

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import NamedTuple

from bench.machine import disk_remark
from bench.memory import memory_of, reset_peak
from bench.part import Measured, Setting, judged
from bench.peers import Place, docker_py
from bench.peers.docker_cli import find_docker, version_of
from bench.peers.docker_logs import Following
from bench.release import ReleaseCaller, stored_bytes
from bench.rounds import FEWEST_ROUNDS, Contender, Figures, NotInstalled, NotMeasured, measure
from bench.rows import Better, Bound, Comparison, Line, Row, Unit
from released.engine.container import log_config
from support.daemon import Daemon, running_daemon
from support.debian import SetupError

SIZES = {200_000_000: "200 MB", 1_000_000_000: "1 GB"}
_FULL_SIZE = 200_000_000
"""With the peers and the secrets; a gigabyte of each would take longer than all other parts."""
_OUTPUT_CAP = 1_100_000_000
"""Above the sizes, so that all of it is to be stored."""
_LOG_OPTIONS = log_config("local", _OUTPUT_CAP)["Config"]
"""Of the engine's own log, of the daemon's containers and of those of the limit."""
_UNROTATED = {"max-size": "8g", "max-file": "2"}
"""Of those whose log is followed: Docker 20.10 loses what comes behind a rotation."""
_FOLLOWED = (
    f"docker logs -f and docker-py follow logs with max-size={_UNROTATED['max-size']}: "
    "Docker 20.10 loses what comes behind a rotation. They are measured with 200 MB only."
)
_MEMORY_MIB = 32

_LINE = "2026-01-31 12:00:00 INFO applied shop.0042_prices to 1024 rows"
_SECRETS = {
    f"SECRET_{number}": base64.b64encode(hashlib.sha256(b"%d" % number).digest()).decode()
    for number in range(300)
}
"""Of 44 characters each, none of which is in the output: every byte of it is searched for all of them."""

_RELEASE = "one release of it, watched"
_MASKED = "the same release, with 300 secrets"
_LIMIT = "docker run --rm … >/dev/null"
_LOGS = "docker run --detach, docker logs -f >/dev/null"
_DOCKER_PY = "docker-py, logs(stream=True, follow=True)"
_MEMORY = "the daemon: most in memory, above idle"


def measure_part(setting: Setting) -> Measured:
    """Measure what becomes of much output."""
    with running_daemon(setting.engine.url, f"output_cap = {_OUTPUT_CAP}\n") as daemon:
        return asyncio.run(_measure_all(setting, daemon))


class _Contenders(NamedTuple):
    daemon: Daemon
    idle: int
    """KiB that the daemon took before it had done anything."""
    caller: ReleaseCaller
    following: Following
    library: docker_py.DockerPy | None
    why_not: str
    """Why there is no library."""


async def _measure_all(setting: Setting, daemon: Daemon) -> Measured:
    idle, image = memory_of(daemon.process.pid).resident, setting.image()
    docker = await asyncio.to_thread(find_docker)
    following, lines = Following(docker, image, _LOG_OPTIONS, _UNROTATED), list[Line]()
    async with AsyncExitStack() as stack:
        caller = await stack.enter_async_context(ReleaseCaller.connected(daemon.socket, image))
        library, why_not = None, ""
        try:
            place = Place(setting.engine.url, image, ())
            library = await stack.enter_async_context(docker_py.opened(place))
        except SetupError as error:
            why_not = str(error)
        these = _Contenders(daemon, idle, caller, following, library, why_not)
        for size, name in SIZES.items():
            # A gigabyte takes half a minute, or more.
            rounds = setting.rounds if size == min(SIZES) else min(setting.rounds, FEWEST_ROUNDS)
            lines += judged(_rows(size, name), await _measure(size, these, rounds))
    versions = {"docker": await version_of(docker)} | ({"docker-py": library.version} if library else {})
    return Measured(lines, [disk_remark(daemon.audit), _FOLLOWED], versions)


async def _measure(size: int, these: _Contenders, rounds: int) -> dict[str, Figures]:
    line, memory = f"yes '{_LINE}' | head -c {size}", list[float]()
    process = these.daemon.process.pid

    async def release() -> None:
        reset_peak(process)
        await these.caller.run(line)
        memory.append((memory_of(process).peak - these.idle) / 1024)

    async def logs() -> None:
        await these.following.docker_logs(line)

    async def library() -> None:
        if these.library is None:
            raise NotInstalled(these.why_not)
        received = await these.library.stream(line, _UNROTATED)
        if received != size:
            raise NotMeasured(f"docker-py gave {received} of {size} bytes")

    contenders: dict[str, Contender] = {
        _RELEASE: release,
        _LIMIT: lambda: these.following.docker_run(line),
    }
    if size == _FULL_SIZE:
        contenders |= {
            _LOGS: logs,
            _DOCKER_PY: library,
            _MASKED: lambda: these.caller.run(line, secrets=_SECRETS),
        }
    these.caller.output_bytes.clear()
    figures = await measure(contenders, rounds)
    figures[_MEMORY] = figures[_RELEASE]._replace(values=tuple(memory[1:]))
    return figures | await _failures(size, these, line)


async def _failures(size: int, these: _Contenders, line: str) -> dict[str, Figures]:
    """What is not to count, since not every byte came or was stored."""
    failures = dict[str, Figures]()
    try:
        _insist_on_every_byte(size, these)
    except NotMeasured as error:
        failures |= dict.fromkeys((_RELEASE, _MASKED), Figures(failure=error))
    if size != _FULL_SIZE:
        return failures
    try:
        await these.following.insist_on_every_byte(line, size)
    except NotMeasured as error:
        failures[_LOGS] = Figures(failure=error)
    return failures


def _rows(size: int, name: str) -> Iterator[Row]:
    throughput = f"{name} of text, stored: throughput"
    yield Comparison(throughput, _RELEASE, _LIMIT, Better.MORE, 0.95)
    if size == _FULL_SIZE:
        yield Comparison(throughput, _RELEASE, _LOGS, Better.MORE, 1.0)
        yield Comparison(throughput, _RELEASE, _DOCKER_PY, Better.MORE, 1.0)
        yield Comparison(f"{name} of text, masked: throughput", _MASKED, _RELEASE, Better.MORE, 0.95)
    yield Bound(f"{name} of text: memory", _MEMORY, _MEMORY_MIB, Unit.MIB)


def _insist_on_every_byte(size: int, these: _Contenders) -> None:
    for name, seen in these.caller.output_bytes.items():
        stored = stored_bytes(these.daemon.audit, name)
        if not seen == stored == size:
            raise NotMeasured(f"of {size} bytes, {stored} were stored and {seen} seen by the watcher")
