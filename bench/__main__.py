"""Measure Releasephase against the bare engine and against `docker run`, and print the scoreboard.

It ends with 0 unless something could not be measured: a target that is missed is a result.
"""

import argparse
import asyncio
import os
import signal
import sys

from bench.docker_cli import DockerCLI
from bench.engine_calls import BareEngine
from bench.machine import IN_MEMORY, describe, file_system
from bench.memory import Memory, memory_of, reset_peak
from bench.release import ReleaseCaller
from bench.rounds import FEWEST_ROUNDS, Times
from bench.scenarios import SCOREBOARD, measure_commands, measure_output
from bench.table import print_table
from support import busybox, debian
from support.daemon import Daemon, DaemonError, running_daemon
from support.docker_engine import Engine
from support.engine_http import EngineError

COMMAND_ROUNDS = 3
"""Rounds of commands for each round of output: they are short, and what an engine takes for them varies."""


def main() -> int:
    """Run the benchmark and return its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    rounds = read_rounds()
    try:
        engine = find_engine()
        image = engine.make_image(busybox.shell_image())
        with running_daemon(engine.url) as daemon:
            times, idle, busy = asyncio.run(run(engine, daemon, image, rounds))
            disk = file_system(daemon.audit)
    except (DaemonError, EngineError, OSError, debian.SetupError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    print(f"\n{describe(engine)}; audit log on {disk}.")
    print(
        f"Ratios of the medians of {rounds} rounds ({COMMAND_ROUNDS * rounds} of the commands), interleaved."
    )
    complete = print_table(SCOREBOARD, times)
    print_memory(idle, busy)
    if disk in IN_MEMORY:
        print(f"Beware: /tmp is {disk} here, so that making the audit log durable cost nothing.")
    return 0 if complete else 1


def find_engine() -> Engine:
    """Return the engine that DOCKER_HOST names, if it answers."""
    url = os.environ.get("DOCKER_HOST", "")
    try:
        return Engine.at(url)
    except OSError as error:
        raise EngineError(f"no engine answers at DOCKER_HOST, {url!r}: {error}") from error


def read_rounds() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help=f"at least {FEWEST_ROUNDS}; 7 if not given")
    rounds: int = parser.parse_args().rounds
    if rounds < FEWEST_ROUNDS:
        parser.error(f"a median of fewer than {FEWEST_ROUNDS} rounds says nothing")
    return rounds


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
        times = await measure_commands(caller, bare, cli, COMMAND_ROUNDS * rounds)
        reset_peak(daemon.process.pid)
        times |= await measure_output(caller, cli, daemon, rounds)
    return times, idle, memory_of(daemon.process.pid)


def print_memory(idle: Memory, busy: Memory) -> None:
    """Print what the daemon took."""
    print(
        f"Daemon memory: {mib(idle.resident)} when idle, {mib(busy.peak)} at most during the 200 MB releases "
        f"({mib(busy.peak - idle.resident)} more)."
    )


def mib(kib: int) -> str:
    """KiB for people."""
    return f"{kib / 1024:.1f} MiB"


if __name__ == "__main__":
    sys.exit(main())
