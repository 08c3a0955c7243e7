"""What verifying finds: runs of events with the same trouble, and the report that comes of it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

MOST_PROBLEMS = 100
"""One damaged page, or one event put in, may be a problem of every event behind it."""

MISSING = "missing"
UNREADABLE = "unreadable"
ALTERED = "altered"

_TEXTS = {
    MISSING: ("the event is missing", "events {} to {} are missing"),
    UNREADABLE: ("the event can't be read", "events {} to {} can't be read"),
    ALTERED: (
        "the event does not follow from the one before it by its digest: one of them was changed",
        "events {} to {} do not follow from each other by their digests: they were changed or moved, "
        "or one was put in or taken out",
    ),
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wrong, and the first event that it concerns, if that is known."""

    description: str
    sequence: int | None = None


class Head(msgspec.Struct, frozen=True):
    """The newest event that was verified, and its digest in hexadecimal: what a receipt of it says."""

    sequence: int
    digest: str


class Pruned(msgspec.Struct, frozen=True):
    """An event that says that a part of the log was removed, up to an event; its time, if that is one."""

    sequence: int
    kind: str
    event_time: datetime | None
    through_sequence: int


class Unchecked(msgspec.Struct, frozen=True):
    """A receipt that nothing can be said about, and why."""

    receipt: Head
    description: str


class Extent(msgspec.Struct, frozen=True):
    """What an export has of its log: its first event, and the output of how many events."""

    first_sequence: int = 0
    output_count: int = 0
    missing_output_count: int = 0
    output_since_sequence: int = 0
    """The first event whose output is there, and that of all behind it; 0 if there is none."""

    def with_output(self, sequence: int) -> "Extent":
        """With an event whose output is there."""
        since = self.output_since_sequence or sequence
        return replace(self, output_count=self.output_count + 1, output_since_sequence=since)

    def without_output(self) -> "Extent":
        """With an event whose output is not there."""
        missing = self.missing_output_count + 1
        return replace(self, missing_output_count=missing, output_since_sequence=0)


class Report(msgspec.Struct, frozen=True):
    """What was found: a log without problems is sound. As JSON, it is the contract's VerifyAuditResponse."""

    problems: list[Problem]
    event_count: int
    head: Head | None = None
    damage: str = ""
    """What SQLite says about a file that is damaged; empty for one that is intact."""
    prunings: list[Pruned] = []
    unchecked_receipts: list[Unchecked] = []
    extent: Extent | None = None
    """What an export has of its log."""


class Finding(NamedTuple):
    """The same trouble with one event, or with several in a row."""

    trouble: str
    """One of the above, or what is wrong, as a sentence."""
    first: int
    last: int

    def covers(self, sequence: int) -> bool:
        """Whether it is about that event."""
        return self.first <= sequence <= self.last

    def problem(self) -> Problem:
        """Say it to a person."""
        single, several = _TEXTS.get(self.trouble, (self.trouble, "{} to {}: " + self.trouble))
        text = single if self.first == self.last else several.format(self.first, self.last)
        return Problem(text, self.first)


class Findings:
    """Findings in the order of the log. Neighbours of the same trouble are one."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self._findings: list[Finding] = []
        self._latest: dict[str, int] = {}
        for finding in findings:
            self.add(*finding)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._findings)

    def add(self, trouble: str, first: int, last: int | None = None) -> None:
        """Note a trouble; whatever comes after a hundred is not kept."""
        end = first if last is None else last
        index = self._latest.get(trouble)
        if index is not None and self._findings[index].last + 1 == first:
            self._findings[index] = self._findings[index]._replace(last=end)
        elif len(self._findings) < MOST_PROBLEMS:
            self._latest[trouble] = len(self._findings)
            self._findings.append(Finding(trouble, first, end))


class Distrust:
    """What can't be trusted of the events: what contradicts it is a consequence, and not told."""

    def __init__(self, findings: Iterable[Finding]) -> None:
        self._events = [finding for finding in findings if finding.trouble in _TEXTS]

    def concerns(self, first: int, last: int) -> bool:
        """Whether that holds for one event, at least, from the first to the last."""
        return any(finding.first <= last and finding.last >= first for finding in self._events)

    def without_consequences(self, findings: Iterable[Finding]) -> list[Finding]:
        """Leave out what else is wrong with those events."""
        return [
            finding
            for finding in findings
            if finding.trouble in _TEXTS or not self.concerns(finding.first, finding.last)
        ]
