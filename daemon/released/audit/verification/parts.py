"""Verifying a part of a log: its events, their output, and the releases that were accepted in it."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from released.audit.chain import link
from released.audit.faults import is_damage
from released.audit.projections import RELEASES, Row
from released.audit.verification.derived import (
    ACCEPTED,
    KINDS,
    OUTPUT,
    PROJECTING,
    TABLES,
    Derived,
    Values,
    tables,
)
from released.audit.verification.findings import ALTERED, MISSING, UNREADABLE, Finding, Findings
from released.audit.verification.outputs import ORPHANED_OUTPUT, Expected, OutputVerification
from released.audit.verification.source import text_of

SIZE = 20_000
"""Events in a part: bounds what is in memory, a few kilobytes for each release accepted in it."""

_EVENTS = """
    SELECT sequence, release_id, event_time, kind, body, output_bytes, output_digest, digest FROM events
    WHERE sequence > ? AND sequence <= ? ORDER BY sequence
"""


class Part(NamedTuple):
    """Events that one process looks at, in one go."""

    after: int
    through: int
    releases_from: int
    """Releases accepted from this sequence on are compared, be it before the first event,"""
    releases_through: int
    """through this one, be it behind the last."""


class PartReport(NamedTuple):
    """What was found in a part."""

    findings: list[Finding]
    event_count: int
    unsettled: set[str]
    """Releases to be looked at on their own: with events in several parts, or with something wrong."""
    unreadable: list[str]
    """What else could not be read, and why."""
    damage: str


class PartVerification:
    """Looks at one part."""

    def __init__(
        self, connection: sqlite3.Connection, part: Part, digest: bytes | None, output_pruned_through: int
    ) -> None:
        """`digest` is the one of the event before the part, None if that is not there."""
        self._connection = connection
        self._part = part
        self._output_pruned_through = output_pruned_through
        self._findings = Findings()
        self._event_count = 0
        self._unsettled: set[str] = set()
        self._unreadable: list[str] = []
        self._damage = ""
        self._last = part.after
        """The newest event that was looked at."""
        self._digest = digest
        """Its digest, None if it could not be read."""
        self._output_digests: dict[int, bytes] = {}
        """Of the events that have output."""
        self._derived = Derived()
        self._accepted: set[str] = set()
        self._output: defaultdict[tuple[str, str], int] = defaultdict(int)
        """Bytes of output, by release and body: their sum changes a projection as they do one by one."""

    def run(self) -> PartReport:
        """Look at all events, then at their output, and at what is stored of the releases."""
        while self._last < self._part.through:
            try:
                self._read(self._part.through)
                break
            except sqlite3.DatabaseError as error:
                self._pass_over(error)
        if self._last < self._part.through:
            self._findings.add(MISSING, self._last + 1, self._part.through)
        self._look_at_output()
        for (release_id, text), size in self._output.items():
            if self._derived.add(OUTPUT, text, Row(0, release_id, 0, size)):
                self._unsettled.add(release_id)
        self._compare()
        return PartReport(
            list(self._findings), self._event_count, self._unsettled, self._unreadable, self._damage
        )

    def _read(self, through: int) -> None:
        """Go on behind the last event. This runs for each of millions of events."""
        findings, accepted, output, derive = self._findings, self._accepted, self._output, self._derived.add
        last, previous, count = self._last, self._digest, 0
        rows = self._connection.execute(_EVENTS, (last, through))
        try:
            for sequence, release_id, time, kind, text, size, output_digest, digest in rows:
                if sequence != last + 1:
                    findings.add(MISSING, last + 1, sequence - 1)
                    previous = None
                last = sequence
                count += 1
                try:
                    if previous is not None and digest != link(
                        previous, sequence, release_id, time, kind, text, size, output_digest
                    ):
                        findings.add(ALTERED, sequence)
                except (AttributeError, TypeError, ValueError):  # of another type, or no text
                    findings.add(ALTERED, sequence)
                previous = digest
                if output_digest is not None:
                    self._output_digests[sequence] = output_digest
                if kind == ACCEPTED:
                    accepted.add(release_id)
                if kind not in PROJECTING:
                    if kind not in KINDS:
                        findings.add(f"the event is of a kind that is not known: {kind!r:.100}", sequence)
                elif release_id not in accepted:
                    self._unsettled.add(release_id)
                elif kind == OUTPUT:
                    output[release_id, text] += size or 0
                elif trouble := derive(kind, text, Row(sequence, release_id, time, 0)):
                    findings.add(trouble, sequence)
                    self._unsettled.add(release_id)
        finally:
            self._last, self._digest = last, previous
            self._event_count += count

    def _look_at_output(self) -> None:
        after, through, *_ = self._part
        output = OutputVerification(
            self._connection, Expected(after, through, self._output_digests, self._output_pruned_through)
        )
        output.run()
        absent = [finding for finding in self._findings if finding.trouble in (MISSING, UNREADABLE)]
        for trouble, sequence in output.troubles:
            if trouble != ORPHANED_OUTPUT or not any(finding.covers(sequence) for finding in absent):
                self._findings.add(trouble, sequence)
        for error in output.errors:
            self._damage = self._damage or damage_of(error)

    def _compare(self) -> None:
        """Releases that are not stored as derived may have other events elsewhere."""
        for table in TABLES:
            try:
                stored = _stored(self._connection, table, self._part)
                self._unsettled.update(self._derived.take_stored(table, stored))
            except sqlite3.DatabaseError as error:
                self._damage = self._damage or damage_of(error)
                self._unreadable.append(f"the table {table} can't be read: {error}")
            self._unsettled.update(self._derived.releases(table))

    def _pass_over(self, error: sqlite3.DatabaseError) -> None:
        """Go on behind what can't be read."""
        if self._connection.text_factory is str:
            # Slower, and only needed for what the daemon has not written: text that is not UTF-8.
            self._connection.text_factory = text_of
            return
        self._damage = self._damage or damage_of(error)
        passed_over = False
        # One by one, since the row before one that can't be read is not given out either.
        for sequence in range(self._last + 1, min(self._part.through, self._last + SIZE) + 1):
            try:
                self._read(sequence)
            except sqlite3.DatabaseError:
                self._findings.add(UNREADABLE, sequence)
                passed_over = True
            else:
                if self._last == sequence and passed_over:
                    return
                if self._last < sequence:
                    self._findings.add(MISSING, sequence)
            if self._last < sequence:
                self._last, self._digest = sequence, None


def damage_of(error: sqlite3.DatabaseError) -> str:
    """What SQLite says about a damaged file; empty for other errors."""
    return str(error) if is_damage(error) else ""


def _stored(connection: sqlite3.Connection, name: str, part: Part) -> Iterable[Values]:
    """Yield what is stored of the releases accepted in a part."""
    source = name if name == RELEASES else f"{RELEASES} JOIN {name} USING (release_id)"
    return connection.execute(
        f"SELECT {tables()[name].selected} FROM {source} WHERE accept_sequence BETWEEN ? AND ?",  # noqa: S608
        (part.releases_from, part.releases_through),
    )
