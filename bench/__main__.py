"""Measure Releasephase beside the bare engine and what people would use instead; print the scoreboard.

It ends with 0 unless something could not be measured: a target that is missed is a result, and so is a peer
that can't be installed.
"""

import argparse
import os
import signal
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp

from bench.machine import describe
from bench.part import Measured, Setting
from bench.peers.docker_cli import docker_version
from bench.results import RESULTS, write_results
from bench.rounds import FEWEST_ROUNDS, NotMeasured
from bench.rows import Verdict, failed
from bench.scenarios import PARTS
from bench.scenarios.audit import RELEASES
from bench.table import print_table
from support import debian
from support.daemon import DaemonError
from support.docker_engine import Engine
from support.engine_http import EngineError

FEWEST_RELEASES = 1000

_FAILURES = (
    *(DaemonError, EngineError, NotMeasured, OSError, debian.SetupError),
    *(sqlite3.Error, aiohttp.ClientError),
)
"""What a part may fail with on a machine that is not as it should be."""


class Arguments(NamedTuple):
    """What the command line says."""

    rounds: int
    only: Sequence[str]
    releases: int
    results: Path | None


def main() -> int:
    """Run the benchmark and return its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments = read_arguments()
    try:
        engine = find_engine()
        setting = Setting(engine, arguments.rounds, arguments.releases)
        measured = [measure_part(part, setting) for part in arguments.only]
    except EngineError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return report(engine, measured, arguments.results)


def measure_part(part: str, setting: Setting) -> Measured:
    """Measure a part; if it fails, the others go on."""
    print(f"measuring: {part}", file=sys.stderr)
    try:
        return PARTS[part](setting)
    except _FAILURES as error:
        return Measured([failed(part, error)])


def report(engine: Engine, measured: Sequence[Measured], results: Path | None) -> int:
    """Print what was measured, and write it to a file; return the exit code."""
    machine = describe(engine) | {"docker program": docker_version()}
    for part in measured:
        machine |= part.versions
    lines = [line for part in measured for line in part.lines]
    remarks = list(dict.fromkeys(remark for part in measured for remark in part.remarks))
    print(", ".join(f"{name}: {value}" for name, value in machine.items()))
    print_table(lines)
    print("\n".join(remarks))
    if results:
        write_results(results, machine, lines, remarks)
    return 1 if any(line.verdict is Verdict.NOT_MEASURED for line in lines) else 0


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
    parser.add_argument("--rounds", type=int, default=7, help="7 if not given")
    parser.add_argument("--only", choices=PARTS, action="append", help="a part of it; all if not given")
    parser.add_argument(
        "--releases", type=int, default=RELEASES, help=f"of the generated log; {RELEASES} if not given"
    )
    parser.add_argument(
        "--results",
        type=Path,
        help="where to write the table; bench/results.md if all is measured",
    )
    given = parser.parse_args()
    if given.releases < FEWEST_RELEASES:
        parser.error(f"a log of fewer than {FEWEST_RELEASES} releases is none to measure on")
    results = given.results or (None if given.only else RESULTS)
    if given.rounds < (FEWEST_ROUNDS if results is RESULTS else 1):
        parser.error(f"fewer than {FEWEST_ROUNDS} rounds are for trying a part out")
    return Arguments(given.rounds, given.only or list(PARTS), given.releases, results)


if __name__ == "__main__":
    sys.exit(main())
