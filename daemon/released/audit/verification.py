"""Verifying the audit log: that the database is intact, its events complete, and the projections theirs."""

import asyncio
import heapq
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import msgspec

from released.audit.chain import GENESIS, link, output_digest_of
from released.audit.compression import unpack
from released.audit.database import MIGRATIONS
from released.audit.faults import is_damage
from released.audit.projections import Row, project
from released.audit.statements import statement
from released.model.events import CommandOutput, decode, kind_of

MOST_PROBLEMS = 100
"""One damaged page may be a problem of every event behind it."""

INSTRUCTIONS = 100_000
"""SQLite asks so often (some milliseconds) whether to go on."""

PROJECTIONS = {
    "releases": ("release_id",),
    "release_labels": ("release_id", "key"),
    "command_runs": ("release_id", "command_index"),
}
"""The tables that are derived from the events, and their primary keys."""

_EVENTS = """
    SELECT sequence, release_id, event_time, kind, body, output_bytes, output_digest, digest, encoding, data
    FROM events LEFT JOIN outputs USING (sequence) ORDER BY sequence
"""


class Problem(NamedTuple):
    """What is wrong, and the first event that it concerns, if that is known."""

    description: str
    sequence: int | None = None


class Report(NamedTuple):
    """What was found: a log without problems is sound."""

    problems: list[Problem]
    event_count: int
    damage: str
    """What SQLite says about a file that is damaged; empty for one that is intact."""


async def verify(path: Path) -> Report:
    """Verify the log at `path` in a thread, on a connection of its own; the writer goes on meanwhile.

    Until it ends, the write-ahead log grows instead of being used again from its start.
    """
    verification = Verification(path)
    work = asyncio.create_task(asyncio.to_thread(verification.run))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        verification.stop()
        await asyncio.gather(work, return_exceptions=True)
        raise


class Verification:
    """One verification of the log at `path`, as it is when `run` begins."""

    def __init__(self, path: Path) -> None:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        self._stopped = threading.Event()
        self._problems: list[Problem] = []
        self._damage = ""
        self._event_count = 0
        self._next: int | None = None
        """The sequence that should come next, while events are read."""

    def run(self) -> Report:
        """Look for problems, and return a hundred at most. Raises sqlite3.Error when it is stopped."""
        self._connection.set_progress_handler(self._stopped.is_set, INSTRUCTIONS)
        with closing(self._connection), closing(_empty_log()) as derived:
            # One transaction: all checks see the same events, whatever is appended meanwhile.
            self._connection.execute("BEGIN")
            self._note("the database", self._in_database())
            self._note("references", self._in_references())
            if self._note("the events", self._in_events(derived)):
                for table, key in PROJECTIONS.items():
                    self._note(f"the table {table}", self._in_projection(derived, table, key))
        return Report(self._problems, self._event_count, self._damage)

    def stop(self) -> None:
        """End it early, from another thread. Without effect on one that has ended."""
        self._stopped.set()
        with suppress(sqlite3.ProgrammingError):  # it has been closed
            self._connection.interrupt()

    def _note(self, subject: str, problems: Iterator[Problem]) -> bool:
        """Note what is found; say whether the search got to its end."""
        try:
            for problem in problems:
                self._add(problem)
        except sqlite3.DatabaseError as error:
            if self._stopped.is_set():
                raise
            self._damage = self._damage or (str(error) if is_damage(error) else "")
            self._add(Problem(f"{subject} can't be read: {error}", self._next))
            return False
        return True

    def _add(self, problem: Problem) -> None:
        if len(self._problems) < MOST_PROBLEMS:
            self._problems.append(problem)

    def _in_database(self) -> Iterator[Problem]:
        for (text,) in self._connection.execute(f"PRAGMA integrity_check({MOST_PROBLEMS})"):
            if text != "ok":
                finding = " ".join(text.removeprefix("*** in database main ***").split())
                self._damage = self._damage or finding
                yield Problem(f"the database is damaged: {finding}")

    def _in_references(self) -> Iterator[Problem]:
        for table, row, referred, _ in self._connection.execute("PRAGMA foreign_key_check"):
            yield Problem(f"row {row} of {table} refers to a row of {referred} that is not there")

    def _in_events(self, derived: sqlite3.Connection) -> Iterator[Problem]:
        """Look at each event, and project it into the log that is derived."""
        self._next = 1
        previous = GENESIS
        for row in self._connection.execute(_EVENTS):
            sequence, release_id, event_time, kind, text, output_bytes, output_digest, digest, *stored = row
            if sequence != self._next:
                yield Problem(f"events {self._next} to {sequence - 1} are missing", self._next)
            self._next = sequence + 1
            self._event_count += 1
            content = (sequence, release_id, event_time, kind, text, output_bytes, output_digest)
            if link(previous, *content) != digest:
                yield Problem("the event, or the one before it, is not what its digest vouches for", sequence)
            previous = digest
            if output_digest is not None and _digest_of(*stored) != output_digest:
                yield Problem("the output of the event is not what its digest vouches for", sequence)
            try:
                body = decode(text)
            except msgspec.MsgspecError as error:
                yield Problem(f"the event can't be understood: {error}", sequence)
                continue
            if kind_of(body) != kind:
                yield Problem(f"the event is stored as {kind} and says {kind_of(body)}", sequence)
            if isinstance(body, CommandOutput) is (stored[1] is None):
                size = None if stored[1] is None else len(stored[1])
                yield Problem(f"the event is {kind} and has {size} bytes of output", sequence)
            try:
                for change in project(body, Row(sequence, release_id, event_time, output_bytes or 0)):
                    derived.execute(*statement(change))
            except sqlite3.IntegrityError as error:
                yield Problem(f"the event contradicts an earlier one: {error}", sequence)
        self._next = None

    def _in_projection(
        self, derived: sqlite3.Connection, table: str, key: Sequence[str]
    ) -> Iterator[Problem]:
        """Compare what queries read with what the events add up to."""
        sql = f"SELECT {', '.join(key)}, * FROM {table} ORDER BY {', '.join(key)}"  # noqa: S608 - no input
        stored, expected = self._connection.execute(sql), derived.execute(sql)
        columns = [column for column, *_ in stored.description]
        rows = heapq.merge(
            ((row[: len(key)], "stored", row) for row in stored),
            ((row[: len(key)], "expected", row) for row in expected),
        )
        for values, group in groupby(rows, key=itemgetter(0)):
            found = {origin: row for _, origin, row in group}
            name = f"{table}: {' '.join(map(str, values))}"
            if "stored" not in found:
                yield Problem(f"{name} is missing")
            elif "expected" not in found:
                yield Problem(f"{name} is there, and no event says so")
            else:
                for column, is_, should_be in zip(columns, found["stored"], found["expected"], strict=True):
                    if is_ != should_be:
                        yield Problem(f"{name}: {column} is {is_!r:.100}, by the events {should_be!r:.100}")


def _digest_of(encoding: str | None, data: bytes | None) -> bytes | None:
    try:
        return None if data is None else output_digest_of(unpack(encoding or "", data))
    except ValueError:
        return None


def _empty_log() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    for migration in MIGRATIONS:
        connection.executescript(migration.read_text())
    return connection
