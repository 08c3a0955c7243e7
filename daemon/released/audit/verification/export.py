"""Verifying an export of an audit log: JSON lines, as `releasectl audit export` writes them."""

import base64
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from released.audit.chain import GENESIS, link, output_digest_of
from released.audit.verification.checkpoints import START
from released.audit.verification.checks import comparable, receipt_trouble
from released.audit.verification.findings import (
    ALTERED,
    MISSING,
    MOST_PROBLEMS,
    Extent,
    Findings,
    Head,
    Problem,
    Report,
)
from released.model.receipt import Receipt


class Line(msgspec.Struct, frozen=True):
    """An event of an export. Digests are in hexadecimal, output in base64."""

    sequence: int
    release_id: str
    event_time: int
    kind: str
    body: str
    previous_digest: str
    digest: str
    output_bytes: int | None = None
    output_digest: str | None = None
    output: str | None = None


_lines = msgspec.json.Decoder(Line)


def verify_export(path: Path, receipts: Sequence[Receipt] = ()) -> Report:
    """Verify an export, of the whole log or from an event in it on. Raises OSError."""
    return _ExportVerification(receipts).run(path)


class _ExportVerification:
    def __init__(self, receipts: Sequence[Receipt]) -> None:
        self._receipts = receipts
        self._findings = Findings()
        self._problems: list[Problem] = []
        self._event_count = 0
        self._base: Receipt | None = None
        """What the first event follows."""
        self._head: Receipt | None = None
        """The newest event."""
        self._followed: Receipt | None = None
        """What the next event follows: not known at first, and behind a line that can't be understood."""
        self._digests: dict[int, bytes] = {}
        """Of the events that there are receipts of."""
        self._extent = Extent()

    def run(self, path: Path) -> Report:
        wanted = {receipt.sequence for receipt in self._receipts}
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    if line.strip():
                        self._add(_lines.decode(line), wanted)
                    else:
                        text = f"line {number} is empty: an export has one event in each line"
                        self._problems.append(Problem(text))
                except ValueError as error:
                    self._problems.append(Problem(f"line {number} can't be understood: {error}"))
                    self._followed = None
                if len(self._problems) >= MOST_PROBLEMS:
                    break
        base = self._base or START
        last = self._head or base
        reason = f"the export begins with event {base.sequence + 1}"
        receipts, unchecked = comparable(self._receipts, base.sequence, reason)
        for receipt in receipts:
            digest = base.digest if receipt.sequence == base.sequence else self._digests.get(receipt.sequence)
            if text := receipt_trouble("export", receipt, digest, last.sequence):
                self._problems.append(Problem(text))
        problems = [*(finding.problem() for finding in self._findings), *self._problems]
        return Report(
            problems[:MOST_PROBLEMS],
            self._event_count,
            Head(last.sequence, last.digest.hex()),
            unchecked_receipts=unchecked,
            extent=replace(self._extent, first_sequence=base.sequence + 1 if self._event_count else 0),
        )

    def _add(self, event: Line, wanted: set[int]) -> None:
        previous, digest = bytes.fromhex(event.previous_digest), bytes.fromhex(event.digest)
        if self._followed is None:
            # Where the export begins, what comes before is not known, but for the very first event.
            self._followed = Receipt(event.sequence - 1, GENESIS if event.sequence == 1 else previous)
            self._base = self._base or self._followed
        expected = self._followed.sequence + 1
        if event.sequence < expected:
            self._findings.add("the event comes after a later one, or once more", event.sequence)
            return
        if event.sequence > expected:
            self._findings.add(MISSING, expected, event.sequence - 1)
        elif previous != self._followed.digest:
            previous = b""  # which no event follows
        self._look_at(event, previous, digest)
        self._event_count += 1
        self._head = self._followed = Receipt(event.sequence, digest)
        if event.sequence in wanted:
            self._digests[event.sequence] = digest

    def _look_at(self, event: Line, previous: bytes, digest: bytes) -> None:
        output_digest = None if event.output_digest is None else bytes.fromhex(event.output_digest)
        content = (
            event.sequence,
            event.release_id,
            event.event_time,
            event.kind,
            event.body,
            event.output_bytes,
        )
        if link(previous, *content, output_digest) != digest:
            self._findings.add(ALTERED, event.sequence)
        if event.output is None:
            if output_digest is not None:  # left out, or pruned
                self._extent = self._extent.without_output()
            return
        self._extent = self._extent.with_output(event.sequence)
        if output_digest is None:
            self._findings.add("the event has no output, and some is there", event.sequence)
        elif _digest_of(event.output) != output_digest:
            self._findings.add("the output of the event is not what its digest vouches for", event.sequence)


def _digest_of(output: str) -> bytes | None:
    try:
        return output_digest_of(base64.b64decode(output, validate=True))
    except ValueError:
        return None
