"""What is measured of the audit log: a large one that was generated, beside an empty one on the same disk."""

import asyncio
import os
import resource
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import count, islice
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

from bench.generated_log import FOLDER, append, generated_log
from bench.generated_releases import EVENTS_EACH, events_of
from bench.history import Answered, HistoryHandler, Question, answer_in_shell, questions
from bench.machine import disk_remark
from bench.part import Measured, Setting, judged
from bench.peers.watched_logs import required_docker
from bench.process import REPOSITORY
from bench.rounds import FEWEST_ROUNDS, SHORT_ROUNDS, Contender, Figures, NotMeasured, measure
from bench.rows import Beside, Better, Bound, Comparison, Row
from bench.sqlite_shell import SqliteShell
from released.audit.log import AuditLog
from support.daemon import BIN, running_daemon

RELEASES = 100_000
"""Of the generated log, if nobody says otherwise."""

APPENDED = 25
"""Releases that are appended in a round, each event in a commit of its own."""


EVENTS_PER_SECOND = 500_000
BYTES_PER_SECOND = 300_000_000
"""What verifying has to reach one of."""

_PAGES = "history: pages of all questions"
_SLOWEST = "history: p95 of them"
_SHELL = "the same questions in the sqlite3 shell"
_HISTORY = "releasectl history"
_IMPORT = "python3 -c 'import grpc'"
_PS = "docker ps"
_VERIFY = "verify"
_READ = "read"
_VERIFY_CPU = "verify: CPU"
_READ_CPU = "reading it, SHA-256, integrity_check"
_OPEN = "open"
_START = "released until it is ready"
_START_EMPTY = "the same with an empty log"
_APPEND = "append"
_APPEND_EMPTY = "append to an empty log"


class Log(NamedTuple):
    """A log to measure on: a copy of the generated one, beside room for others."""

    path: Path
    releases: int

    @property
    def empty(self) -> Path:
        """Where another log can be, on the same disk."""
        return self.path.with_name("empty.db")

    @property
    def title(self) -> str:
        size = self.path.stat().st_size / 1e6
        return f"{self.releases:,} releases, {self.releases * EVENTS_EACH:,} events, {size:,.0f} MB"


@contextmanager
def large_log(releases: int) -> Iterator[Log]:
    """Make a copy of the generated log, for the block."""
    generated = generated_log(releases)
    with tempfile.TemporaryDirectory(prefix="work-", dir=FOLDER) as folder:
        path = Path(folder, "audit.db")
        shutil.copy(generated, path)
        yield Log(path, releases)


def measure_part(setting: Setting) -> Measured:
    """Measure what is done with a large audit log."""
    with large_log(setting.releases) as log:
        times = asyncio.run(measure_audit(log, setting.engine.url, setting.rounds))
        said = [*remarks(log, times), disk_remark(log.path)]
        return Measured(judged(scoreboard(log), times), said)


def scoreboard(log: Log) -> tuple[Row, ...]:
    """Return what is compared."""
    events, size = log.releases * EVENTS_EACH, log.path.stat().st_size
    verify_seconds = max(events / EVENTS_PER_SECOND, size / BYTES_PER_SECOND)
    return (
        Bound("any page of history, inside the daemon: p95", _SLOWEST, 0.01),
        Comparison("pages of history: time", _PAGES, _SHELL, Better.LESS, 1.5),
        Bound("releasectl history, as a process: time", _HISTORY, 0.4),
        Comparison("releasectl history, as a process: time", _HISTORY, _IMPORT, Better.LESS, 1.5),
        Beside("releasectl history, as a process: time", _HISTORY, _PS),
        Bound("verify: time at 500,000 events/s or 300 MB/s", _VERIFY, verify_seconds),
        # Chaining, deriving and comparing may take as much again as reading does.
        Comparison("verify: CPU time", _VERIFY_CPU, _READ_CPU, Better.LESS, 2.0),
        Bound("open the log, and find what has not ended: time", _OPEN, 1.0),
        Bound("start of the daemon, until it is ready: time", _START, 1.0),
        Comparison("start of the daemon, until it is ready: time", _START, _START_EMPTY, Better.LESS, 1.2),
        Comparison("append, an event in each commit: time", _APPEND, _APPEND_EMPTY, Better.LESS, 1.1),
    )


def remarks(log: Log, times: Mapping[str, Figures]) -> Iterator[str]:
    """Say what the ratios and the limits do not."""
    yield f"The generated audit log: {log.title}."
    events, size = log.releases * EVENTS_EACH, log.path.stat().st_size / 1e6
    for name, done in ((_VERIFY, "Verified"), (_READ, "Only read")):
        if (seconds := times[name]).values:
            yield f"{done} at {events / seconds.median:,.0f} events/s, {size / seconds.median:,.0f} MB/s."


async def measure_audit(log: Log, engine_url: str, rounds: int) -> dict[str, Figures]:
    """Measure everything on the log, which is changed last."""
    times = await measure_history(log, rounds)
    times |= await measure_processes(log, engine_url, rounds)
    times |= await measure_reading(log, rounds)
    return times | await measure_appending(log, rounds)


async def measure_history(log: Log, rounds: int) -> dict[str, Figures]:
    """Ask all questions, page by page: of the handler, and of the shell."""
    asked, slowest = questions(log.releases), list[float]()
    async with opened(log.path) as audit, SqliteShell.opened(log.path) as shell:
        handler = HistoryHandler(audit)

        async def pages() -> float:
            answered = Answered()
            for question in asked:
                await handler.answer(question, answered)
            slowest.append(answered.p95)
            return answered.total

        async def in_shell() -> float:
            answered = Answered()
            for question in asked:
                await answer_in_shell(shell, question, answered)
            return answered.total

        try:
            await _insist_on_the_same_releases(handler, shell, asked)
        except NotMeasured as error:
            return dict.fromkeys((_PAGES, _SHELL, _SLOWEST), Figures(failure=error))
        times = await measure({_PAGES: pages, _SHELL: in_shell}, rounds)
    return times | {_SLOWEST: times[_PAGES]._replace(values=tuple(slowest[1:]))}


async def _insist_on_the_same_releases(
    handler: HistoryHandler, shell: SqliteShell, asked: tuple[Question, ...]
) -> None:
    for question in asked:
        theirs = await answer_in_shell(shell, question, Answered())
        ours = await handler.answer(question, Answered())
        if ours != theirs:
            raise NotMeasured(f"{question.filter!r}: {ours}, and in the shell {theirs}")


async def measure_processes(log: Log, engine_url: str, rounds: int) -> dict[str, Figures]:
    """Whole processes: what a person waits for at a prompt, and a host at its start."""

    async def start(audit: Path) -> float:
        return await asyncio.to_thread(seconds_to_start, engine_url, audit)

    async def list_containers() -> None:
        docker = await asyncio.to_thread(required_docker)
        await _run(docker, "ps", environment=dict(os.environ))

    with running_daemon(engine_url, audit=log.path) as daemon:
        environment = os.environ | {"RELEASED_SOCKET": str(daemon.socket)}
        contenders: dict[str, Contender] = {
            _HISTORY: lambda: _run(BIN / "releasectl", "history", environment=environment),
            _IMPORT: lambda: _run(BIN / "python", "-c", "import grpc", environment=environment),
            _PS: list_containers,
        }
        times = await measure(contenders, rounds)
    starts: dict[str, Contender] = {
        _START: lambda: start(log.path),
        _START_EMPTY: lambda: start(log.empty),
    }
    return times | await measure(starts, rounds)


def seconds_to_start(engine_url: str, audit: Path) -> float:
    """Return how long a daemon takes until it is ready; it is stopped then."""
    begin = perf_counter()
    with running_daemon(engine_url, audit=audit):
        return perf_counter() - begin


async def _run(program: Path, *arguments: str, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        program,
        *arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if code := await process.wait():
        raise NotMeasured(f"{program.name} ended with {code}")


async def measure_reading(log: Log, rounds: int) -> dict[str, Figures]:
    """Open the log as a daemon does at its start; read all of it, and check it."""

    async def open_it() -> float:
        begin = perf_counter()
        async with opened(log.path) as audit:
            await audit.query.unfinished()
            return perf_counter() - begin

    verify_cpu, read_cpu = list[float](), list[float]()

    async def verify() -> float:
        async with opened(log.path) as audit:
            begin, begin_cpu = perf_counter(), _cpu_of_children()
            report = await audit.verify()
            verify_cpu.append(_cpu_of_children() - begin_cpu)
            if report.problems:
                raise NotMeasured(f"the log is not sound: {report.problems[0]}")
            return perf_counter() - begin

    async def read() -> float:
        async with opened(log.path):  # by a daemon, as when it is verified
            begin, begin_cpu = perf_counter(), _cpu_of_children()
            count = await read_bare(log.path)
            read_cpu.append(_cpu_of_children() - begin_cpu)
            if count != log.releases * EVENTS_EACH:
                raise NotMeasured("not all events were read")
            return perf_counter() - begin

    contenders: dict[str, Contender] = {_VERIFY: verify, _READ: read}
    times = await measure({_OPEN: open_it}, rounds) | await measure(contenders, FEWEST_ROUNDS)
    return times | {
        _VERIFY_CPU: times[_VERIFY]._replace(values=tuple(verify_cpu[1:])),
        _READ_CPU: times[_READ]._replace(values=tuple(read_cpu[1:])),
    }


def _cpu_of_children() -> float:
    """CPU time of all processes that have ended, and been waited for, below this one."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


async def read_bare(path: Path) -> int:
    """Read a log, in a process of its own as verifying has one; return how many events there are."""
    process = await asyncio.create_subprocess_exec(
        *(BIN / "python", "-m", "bench.bare_reading", path), cwd=REPOSITORY, stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise NotMeasured(f"reading it ended with {process.returncode}")
    return int(output)


async def measure_appending(log: Log, rounds: int) -> dict[str, Figures]:
    """Append the same to the large log and to one that was empty before."""
    numbers = {path: count(log.releases) for path in (log.path, log.empty)}

    async def append_to(audit: AuditLog) -> None:
        for number in islice(numbers[audit.path], APPENDED):
            for event in events_of(number):
                await append(audit, event)

    async with opened(log.path) as large, opened(log.empty) as empty:
        contenders: dict[str, Contender] = {
            _APPEND: lambda: append_to(large),
            _APPEND_EMPTY: lambda: append_to(empty),
        }
        return await measure(contenders, SHORT_ROUNDS * rounds)


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[AuditLog]:
    """Have a log open, as the daemon has it."""
    audit = await AuditLog.open(path)
    try:
        yield audit
    finally:
        await audit.close()
