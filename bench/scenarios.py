"""What is measured, and what each is measured against."""

import base64
import hashlib

from bench.docker_cli import DockerCLI
from bench.engine_calls import BareEngine
from bench.release import ReleaseCaller, stored_bytes
from bench.rounds import NotMeasured, Times, measure
from bench.table import Better, Comparison, Row
from support.daemon import Daemon

COMMANDS = 5
OUTPUT_BYTES = 200_000_000
"""Below the daemon's default cap, so that all of it is to be stored."""

_LINE = "2026-01-31 12:00:00 INFO applied shop.0042_prices to 1024 rows"
_SECRETS = {
    f"SECRET_{number}": base64.b64encode(hashlib.sha256(b"%d" % number).digest()).decode()
    for number in range(300)
}
"""Of 44 characters each, none of which is in the output: every byte of it is searched for all of them."""
_OUTPUT = f"yes '{_LINE}' | head -c {OUTPUT_BYTES}"

_COMMANDS_RELEASE = "one release, watched"
_COMMANDS_LIMIT = "create, attach, start, wait, delete: one container"
_COMMANDS_RUNS = f"docker run --rm, {COMMANDS} times"
_OUTPUT_RELEASE = "one release of it, watched"
_MASKED_RELEASE = "the same release, with 300 secrets"
_OUTPUT_RUN = "docker run --rm … >/dev/null"

SCOREBOARD: tuple[Row, ...] = (
    Comparison(f"{COMMANDS} commands of `true`: time", _COMMANDS_RELEASE, _COMMANDS_LIMIT, Better.LESS, 1.15),
    Comparison(f"{COMMANDS} commands of `true`: time", _COMMANDS_RELEASE, _COMMANDS_RUNS, Better.LESS, 0.25),
    Comparison("200 MB of text, stored: throughput", _OUTPUT_RELEASE, _OUTPUT_RUN, Better.MORE, 0.95),
    Comparison("200 MB of text, masked: throughput", _MASKED_RELEASE, _OUTPUT_RELEASE, Better.MORE, 0.95),
)


async def measure_commands(
    caller: ReleaseCaller, bare: BareEngine, cli: DockerCLI, rounds: int
) -> dict[str, Times]:
    """Commands that do nothing: what is measured is all that surrounds them."""

    async def release() -> None:
        await caller.run(*["true"] * COMMANDS)

    async def docker_runs() -> None:
        for _ in range(COMMANDS):
            await cli.run("true")

    contenders = {_COMMANDS_RELEASE: release, _COMMANDS_LIMIT: bare.run_true, _COMMANDS_RUNS: docker_runs}
    return await measure(contenders, rounds)


async def measure_output(
    caller: ReleaseCaller, cli: DockerCLI, daemon: Daemon, rounds: int
) -> dict[str, Times]:
    """One command that writes much: every byte has to be seen and to be stored."""

    async def release() -> None:
        await caller.run(_OUTPUT)

    async def docker_run() -> None:
        await cli.run("/bin/sh", "-c", _OUTPUT)

    async def masked_release() -> None:
        await caller.run(_OUTPUT, secrets=_SECRETS)

    caller.output_bytes.clear()
    contenders = {_OUTPUT_RELEASE: release, _MASKED_RELEASE: masked_release, _OUTPUT_RUN: docker_run}
    times = await measure(contenders, rounds)
    try:
        _insist_on_every_byte(caller, daemon)
    except NotMeasured as error:
        times[_OUTPUT_RELEASE] = times[_MASKED_RELEASE] = Times(failure=str(error))
    return times


def _insist_on_every_byte(caller: ReleaseCaller, daemon: Daemon) -> None:
    for name, seen in caller.output_bytes.items():
        stored = stored_bytes(daemon.audit, name)
        if not seen == stored == OUTPUT_BYTES:
            raise NotMeasured(f"of {OUTPUT_BYTES} bytes, {stored} were stored and {seen} seen by the watcher")
