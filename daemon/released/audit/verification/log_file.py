"""Verifying the database of an audit log, whether a daemon has it open or not.

Each process has a view of its own of the log, in which events and projections belong together, since
they are written in one transaction. So the views need not be the same: events are looked at as far as the
log went when this began, and each release is compared with all of its events in one view.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from released.audit.verification import checkpoints, checks, settings
from released.audit.verification.checkpoints import START, Pruning
from released.audit.verification.findings import (
    ALTERED,
    MISSING,
    MOST_PROBLEMS,
    Distrust,
    Finding,
    Findings,
    Head,
    Problem,
    Report,
    Unchecked,
)
from released.audit.verification.outputs import ORPHANED_OUTPUT
from released.audit.verification.parts import SIZE, Part, PartReport, PartVerification, damage_of
from released.audit.verification.settings import SettingsProblem
from released.audit.verification.settling import AT_ONCE, Settled, settle
from released.audit.verification.source import Source
from released.audit.verification.workers import Run, Task, workers
from released.model.receipt import Receipt

ALL = 2**63
"""No sequence is that large; its negative is the smallest that there may be."""


def verify_database(
    path: Path, receipts: Sequence[Receipt] = (), processes: int = 1, *, is_live: bool = False
) -> Report:
    """Verify a log, in so many processes. Raises NotALog, and sqlite3.Error if it can't be opened.

    `is_live` says that a daemon has it open, whatever the files beside it look like.
    """
    source = Source.of(path, is_live=is_live)
    while True:
        verification = _Verification(source, receipts)
        if not verification.look_around():
            return verification.report()
        with workers(source, processes) as (run, in_each):
            # If retention has gone on since the look around, more may be missing by now.
            if all(seen == verification.checkpoints for seen in in_each(Task(checkpoints.stored))):
                verification.look_at_events(run)
                verification.look_at_releases(run)
                return verification.report()


class _Verification:
    def __init__(self, source: Source, receipts: Sequence[Receipt]) -> None:
        self._source = source
        self._receipts = receipts
        self.checkpoints: list[checkpoints.Values] | None = None
        """As they were at the look around."""
        self._base = START
        self._prunings: dict[str, Pruning] = {}
        self._head: Head | None = None
        self._parts: list[Part] = []
        self._problems: list[Problem] = []
        """Those of no event or release come first in the report."""
        self._of_receipts: list[Problem] = []
        self._unchecked: list[Unchecked] = []
        self._findings = Findings()
        self._of_releases: list[Problem] = []
        self._of_settings: list[SettingsProblem] = []
        self._unsettled: set[str] = set()
        self._event_count = 0
        self._damage = ""

    def look_around(self) -> bool:
        """Look at what does not take long, and where events are; say whether there is more to see."""
        self._problems += self._source.journal_problems()
        with closing(self._source.open()) as connection:
            try:
                connection.execute("BEGIN")
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                checks.check_version(connection)
            except sqlite3.DatabaseError as error:
                self._note("the database", error)
                return False
            self._gather("the schema", lambda: checks.schema_problems(connection))
            self._gather("checkpoints", lambda: self._look_at_checkpoints(connection))
            self._gather("settings", lambda: self._look_at_settings(connection))
            last = self._last(connection)
            base = self._base.sequence
            self._parts = list(_parts(connection, base, last, base + 1 if base else -ALL, ALL - 1))
            self._gather("events", lambda: _before_the_first(connection))
            reason = f"the events through {base} were pruned"
            receipts, self._unchecked = checks.comparable(self._receipts, base, reason)
            problems = checks.receipt_problems(connection, receipts, self._base, last)
            self._gather("receipts", lambda: problems, self._of_receipts)
        return True

    def look_at_events(self, run: Run) -> None:
        """Look at all events; first of all, since it takes longest, let SQLite look at the file."""
        pruning = self._prunings.get(checkpoints.OUTPUT)
        output_pruned_through = max(pruning.through_sequence if pruning else 0, self._base.sequence)
        tasks = [
            Task(checks.integrity),
            Task(checks.orphans, (self._parts[0].after, self._parts[-1].through)),
            Task(_verify_front, (self._base, output_pruned_through)),
            *(Task(_verify_part, (part, self._base, output_pruned_through)) for part in self._parts),
        ]
        results = dict(run(tasks))
        problems, self._damage = results.pop(0)
        self._problems = problems + self._problems
        output, release_ids, unreadable, damage = results.pop(1)
        self._add_damage(unreadable, damage)
        self._unsettled.update(release_ids)
        for report in results.pop(2):
            self._add_part(report)
        for index in sorted(results):
            self._add_part(results[index])
        told = [finding for finding in self._findings if finding.trouble in (MISSING, ORPHANED_OUTPUT)]
        for sequence in output:
            if not any(finding.covers(sequence) for finding in told):
                self._findings.add(ORPHANED_OUTPUT, sequence)

    def look_at_releases(self, run: Run) -> None:
        """Look at the releases that are not clear yet."""
        known = list(self._findings)
        release_ids = sorted(self._unsettled)
        tasks = (
            Task(settle, (release_ids[start : start + AT_ONCE], self._base, known))
            for start in range(0, len(release_ids), AT_ONCE)
        )
        settled: dict[int, Settled] = dict(run(tasks))
        for index in sorted(settled):
            for finding in settled[index].findings:
                if finding not in known:
                    self._findings.add(*finding)
            self._of_releases += settled[index].problems
            self._damage = self._damage or settled[index].damage

    def report(self) -> Report:
        """Return what was found: the file first, then events, projections and receipts."""
        distrust = Distrust(self._findings)
        findings = distrust.without_consequences(self._findings)
        of_settings = [each.problem for each in self._of_settings if not each.is_consequence(distrust)]
        of_events = [finding.problem() for finding in sorted(findings, key=lambda finding: finding.first)]
        of_releases = sorted(self._of_releases, key=lambda problem: problem.sequence or ALL)
        problems = [
            *dict.fromkeys(self._problems),
            *of_events,
            *of_releases,
            *of_settings,
            *self._of_receipts,
        ]
        return Report(
            problems[:MOST_PROBLEMS],
            self._event_count,
            self._head,
            self._damage,
            [pruning.event() for pruning in self._prunings.values()],
            self._unchecked,
        )

    def _look_at_checkpoints(self, connection: sqlite3.Connection) -> Iterator[Problem]:
        self.checkpoints = checkpoints.stored(connection)
        if self.checkpoints is None:
            yield Problem("the table checkpoints can't be read")
            return
        self._base = checkpoints.base_of(self.checkpoints)
        for pruning in checkpoints.prunings(connection, self._base.sequence):
            if isinstance(pruning, Problem):
                yield pruning
            else:
                self._prunings[pruning.subject] = pruning
        yield from checkpoints.problems(self.checkpoints, self._prunings, self._base.sequence)

    def _look_at_settings(self, connection: sqlite3.Connection) -> Iterator[Problem]:
        for found in settings.problems(connection, self._base.sequence):
            if isinstance(found, Problem):
                yield found
            else:
                self._of_settings.append(found)

    def _last(self, connection: sqlite3.Connection) -> int:
        """Find the newest event, if need be by the index."""
        try:
            row = connection.execute(
                "SELECT sequence, digest FROM events ORDER BY sequence DESC LIMIT 1"
            ).fetchone()
            self._head = Head(row[0], row[1].hex()) if row else Head(*_shown(self._base))
        except (sqlite3.DatabaseError, AttributeError):
            try:
                sql = "SELECT max(sequence) FROM events INDEXED BY events_by_release WHERE release_id >= ''"
                return int(connection.execute(sql).fetchone()[0] or 0)
            except sqlite3.DatabaseError as error:
                self._note("the events", error)
                return self._base.sequence
        return self._head.sequence

    def _add_part(self, report: PartReport) -> None:
        for finding in report.findings:
            self._findings.add(*finding)
        self._event_count += report.event_count
        self._unsettled |= report.unsettled
        self._add_damage([Problem(text) for text in report.unreadable], report.damage)

    def _add_damage(self, problems: Iterable[Problem], damage: str) -> None:
        self._problems += problems
        self._damage = self._damage or damage

    def _gather(
        self, subject: str, look: Callable[[], Iterator[Problem]], problems: list[Problem] | None = None
    ) -> None:
        found = self._problems if problems is None else problems
        try:
            found.extend(look())
        except (sqlite3.DatabaseError, ValueError) as error:
            self._note(subject, error)

    def _note(self, subject: str, error: Exception) -> None:
        damage = damage_of(error) if isinstance(error, sqlite3.DatabaseError) else ""
        self._add_damage([Problem(f"{subject} can't be read: {error}")], damage)


def _parts(
    connection: sqlite3.Connection, base: int, last: int, releases_from: int, releases_through: int
) -> Iterator[Part]:
    """Cut the events behind `base` in parts, however large the gaps are, and with them these releases."""
    after = base
    while after < last:
        try:
            sql = "SELECT min(sequence) FROM events WHERE sequence > ?"
            start = connection.execute(sql, (after,)).fetchone()[0] or last
        except sqlite3.DatabaseError:
            start = after + 1
        through = min(start + SIZE - 1, last)
        is_first, is_last = after == base, through == last
        yield Part(
            after,
            through,
            releases_from if is_first else after + 1,
            releases_through if is_last else through,
        )
        after = through
    if base >= last:
        yield Part(base, base, releases_from, releases_through)


def _verify_front(
    connection: sqlite3.Connection, base: Receipt, output_pruned_through: int
) -> list[PartReport]:
    """Look at what is left in front of `base`, in one view: in a later one there may be less of it."""
    if not base.sequence:
        return []
    try:
        before, digest = checkpoints.beginning(connection, base)
    except sqlite3.DatabaseError:
        before, digest = base  # the part that can't be read is told of
    reports = []
    for part in _parts(connection, before, base.sequence, -ALL, base.sequence):
        known = digest if part.after == before else _digest_of(connection, part.after)
        reports.append(PartVerification(connection, part, known, output_pruned_through).run())
    if _digest_of(connection, base.sequence) not in (None, base.digest):
        reports[-1].findings.append(Finding(ALTERED, base.sequence, base.sequence))
    return reports


def _verify_part(
    connection: sqlite3.Connection, part: Part, base: Receipt, output_pruned_through: int
) -> PartReport:
    digest = base.digest if part.after == base.sequence else _digest_of(connection, part.after)
    return PartVerification(connection, part, digest, output_pruned_through).run()


def _digest_of(connection: sqlite3.Connection, sequence: int) -> bytes | None:
    try:
        row = connection.execute("SELECT digest FROM events WHERE sequence = ?", (sequence,)).fetchone()
    except sqlite3.DatabaseError:
        return None
    return row[0] if row else None


def _before_the_first(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (sequence,) in connection.execute(
        "SELECT sequence FROM events WHERE sequence < 1 LIMIT ?", (MOST_PROBLEMS,)
    ):
        yield Problem("the event comes before the first", sequence)


def _shown(receipt: Receipt) -> tuple[int, str]:
    return receipt.sequence, receipt.digest.hex()
