"""Measure Releasephase against the bare engine, `docker run` and the `sqlite3` shell; print the scoreboard.

It ends with 0 unless something could not be measured: a target that is missed is a result.
"""

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from bench.audit_scenarios import RELEASES, large_log, measure_audit, remarks, scoreboard
from bench.docker_cli import DockerCLI
from bench.engine_calls import BareEngine
from bench.machine import IN_MEMORY, describe, file_system
from bench.memory import Memory, memory_of, reset_peak
from bench.release import ReleaseCaller
from bench.rounds import FEWEST_ROUNDS, SHORT_ROUNDS, NotMeasured, Times
from bench.scenarios import SCOREBOARD, measure_commands, measure_output
from bench.table import Row, print_table
from support import busybox, debian
from support.daemon import Daemon, DaemonError, running_daemon
from support.docker_engine import Engine
from support.engine_http import EngineError

FEWEST_RELEASES = 1000


class Arguments(NamedTuple):
    """What the command line says."""

    rounds: int
    only: Sequence[str]
    releases: int


class Measured(NamedTuple):
    """What was measured in one part, and what else there is to say about it."""

    rows: Sequence[Row]
    times: Mapping[str, Times]
    remarks: Sequence[str]


def main() -> int:
    """Run the benchmark and return its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = read_arguments()
    try:
        engine = find_engine()
        measured = [measure(engine, arguments) for part, measure in PARTS.items() if part in arguments.only]
    except (DaemonError, EngineError, NotMeasured, OSError, debian.SetupError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    rounds = arguments.rounds
    print(f"\n{describe(engine)}.")
    print(f"Medians of {rounds} rounds ({SHORT_ROUNDS * rounds} of commands and of appending), interleaved.")
    complete = print_table(
        [row for part in measured for row in part.rows],
        {name: times for part in measured for name, times in part.times.items()},
    )
    for remark in chain.from_iterable(part.remarks for part in measured):
        print(remark)
    return 0 if complete else 1


def measure_engine(engine: Engine, arguments: Arguments) -> Measured:
    """Measure releases against the bare engine and against `docker run`."""
    image = engine.make_image(busybox.shell_image())
    with running_daemon(engine.url) as daemon:
        times, idle, busy = asyncio.run(run(engine, daemon, image, arguments.rounds))
        said = [memory_remark(idle, busy), *disk_remarks(daemon.audit)]
    return Measured(SCOREBOARD, times, said)


def measure_log(engine: Engine, arguments: Arguments) -> Measured:
    """Measure what is done with a large audit log."""
    with large_log(arguments.releases) as log:
        times = asyncio.run(measure_audit(log, engine.url, arguments.rounds))
        return Measured(scoreboard(log), times, [*remarks(log, times), *disk_remarks(log.path)])


PARTS: dict[str, Callable[[Engine, Arguments], Measured]] = {"engine": measure_engine, "audit": measure_log}


def find_engine() -> Engine:
    """Return the engine that DOCKER_HOST names, if it answers."""
    url = os.environ.get("DOCKER_HOST", "")
    try:
        return Engine.at(url)
    except OSError as error:
        raise EngineError(f"no engine answers at DOCKER_HOST, {url!r}: {error}") from error


def read_arguments() -> Arguments:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help=f"at least {FEWEST_ROUNDS}; 7 if not given")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part of it; all if not given")
    parser.add_argument(
        "--releases", type=int, default=RELEASES, help=f"of the generated log; {RELEASES} if not given"
    )
    given = parser.parse_args()
    if given.rounds < FEWEST_ROUNDS:
        parser.error(f"a median of fewer than {FEWEST_ROUNDS} rounds says nothing")
    if given.releases < FEWEST_RELEASES:
        parser.error(f"a log of fewer than {FEWEST_RELEASES} releases is none to measure on")
    return Arguments(given.rounds, given.only or list(PARTS), given.releases)


async def run(
    engine: Engine, daemon: Daemon, image: str, rounds: int
) -> tuple[dict[str, Times], Memory, Memory]:
    """Measure everything with one daemon; its memory is that before and that during the output."""
    idle = memory_of(daemon.process.pid)
    cli = DockerCLI(image)
    async with (
        ReleaseCaller.connected(daemon.socket, image) as caller,
        BareEngine(engine.url, image) as bare,
    ):
        times = await measure_commands(caller, bare, cli, SHORT_ROUNDS * rounds)
        reset_peak(daemon.process.pid)
        times |= await measure_output(caller, cli, daemon, rounds)
    return times, idle, memory_of(daemon.process.pid)


def memory_remark(idle: Memory, busy: Memory) -> str:
    """Say what the daemon took."""
    return (
        f"Daemon memory: {mib(idle.resident)} when idle, {mib(busy.peak)} at most during the 200 MB releases "
        f"({mib(busy.peak - idle.resident)} more)."
    )


def disk_remarks(audit: Path) -> Iterator[str]:
    """Say what the log was on."""
    disk = file_system(audit)
    yield f"{audit} was on {disk}."
    if disk in IN_MEMORY:
        yield f"Beware: that is {disk}, so that making the audit log durable cost nothing."


def mib(kib: int) -> str:
    """KiB for people."""
    return f"{kib / 1024:.1f} MiB"


if __name__ == "__main__":
    sys.exit(main())
