"""Counts, after a storm, what was lost, repeated or left behind, and says of each what there is to know."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import grpc

from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import ContainerMode
from support.app import STDERR, STDOUT, Outcome
from support.process import DaemonProcess
from support.storm.client import Told
from support.storm.plan import MARKS, Plan

MOST_TOLD = 5
"""How many releases a report tells everything of."""


class Finding(NamedTuple):
    """Something that must not be: `kind` is lost, repeated or leftover; `release` its name, or empty."""

    kind: str
    release: str
    text: str


@dataclass
class Account:
    """What became of a storm's releases."""

    seed: int
    kills: int = 0
    releases: int = 0
    commands: int = 0
    findings: list[Finding] = field(default_factory=list)
    details: dict[str, str] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """One line with all counts."""
        found = Counter(finding.kind for finding in self.findings)
        counts = ", ".join(f"{kind} = {found[kind]}" for kind in ("lost", "repeated", "leftover"))
        ran = f"{self.kills} kills, {self.releases} releases, {self.commands} commands"
        return f"{ran}: {counts} (seed {self.seed})"

    @property
    def report(self) -> str:
        """All that is known of the first releases that have a finding, each finding, and the summary."""
        lines = [f"{finding.kind}: {finding.release} {finding.text}" for finding in self.findings]
        return "\n".join([*list(self.details.values())[:MOST_TOLD], *lines, self.summary])


def account_for(account: Account, daemon: DaemonProcess, told: Sequence[Told], folder: Path) -> None:
    """Compare each release with its plan. The daemon runs, and nothing should be under way any more."""
    marks = Counter((folder / MARKS).read_text().split())
    for each in told:
        account.releases += 1
        account.commands += len(each.plan.commands)
        found = list(_findings_on(daemon, each, marks))
        account.findings += found
        if found:
            account.details[each.name] = _everything_on(daemon, each)
    unknown = marks.keys() - {tag for each in told for tag in each.plan.run_tags}
    account.findings += [Finding("repeated", "", f"{tag} ran and must not") for tag in sorted(unknown)]


def _findings_on(daemon: DaemonProcess, told: Told, marks: Counter[str]) -> Iterator[Finding]:
    yield from (
        Finding("repeated", told.name, f"{tag} ran {marks[tag]} times")
        for tag in told.plan.run_tags
        if marks[tag] > 1
    )
    if not told.name:
        yield Finding("lost", "", f"r{told.plan.number} was never accepted")
    elif not told.ended:
        yield Finding("lost", told.name, "did not end")
    else:
        outcome = daemon.outcome(told.name)
        unplanned = list(_findings_on_the_end(outcome, told.plan, marks))
        yield from unplanned
        yield from _findings_on_output(outcome, told, complete=not unplanned)


def _findings_on_the_end(outcome: Outcome, plan: Plan, marks: Counter[str]) -> Iterator[Finding]:
    """See that it ended as planned, and that what is said to have run did."""
    name = outcome.release.name
    states = [command.state for command in plan.commands]
    if (outcome.cause, outcome.command_states) != (plan.cause, states):
        was = f"{outcome.state} {outcome.cause} {outcome.command_states}, not {plan.cause} {states}"
        yield Finding("lost", name, f"ended as {was}: {outcome.message}")
    elif missing := [tag for tag in plan.run_tags if not marks[tag]]:
        yield Finding("lost", name, f"is said to have run what did not: {' '.join(missing)}")


def _findings_on_output(outcome: Outcome, told: Told, *, complete: bool) -> Iterator[Finding]:
    """See that all output is stored, or, of a release that did not end as planned, its beginning."""
    plan, name = told.plan, told.name
    if told.sequences != [event.sequence for event in outcome.events]:
        yield Finding("lost", name, "what was watched live is not what is stored")
    if between := outcome.output(None):
        yield Finding("repeated", name, f"has output of no command: {between[:80]!r}")
    for index, command in enumerate(plan.commands):
        run = outcome.release.command_runs[index]
        for stream, written, counted in (
            (STDOUT, command.script.stdout, run.stdout_bytes),
            (STDERR, command.script.stderr, run.stderr_bytes),
        ):
            wanted = b"" if command.state == "SKIPPED" else written
            stored = outcome.output(index, stream)
            if not complete:
                wanted = wanted[: len(stored)]
            if stored != wanted:
                kind = "repeated" if len(stored) > len(wanted) else "lost"
                yield Finding(kind, name, f"{plan.tag(index)} {_difference(stored, wanted)}")
            elif counted != len(stored):
                yield Finding("lost", name, f"{plan.tag(index)} counts {counted} bytes of {len(stored)}")


def _difference(stored: bytes, wanted: bytes) -> str:
    """Where two outputs part, and what comes there."""
    at = next(
        (at for at, (one, other) in enumerate(zip(stored, wanted, strict=False)) if one != other),
        min(len(stored), len(wanted)),
    )
    around = slice(max(0, at - 40), at + 40)
    return (
        f"has {len(stored)} bytes, not {len(wanted)}, and differs from byte {at} on: "
        f"{stored[around]!r} is not {wanted[around]!r}"
    )


def audit_log_findings(audit: Path, told: Sequence[Told]) -> Iterator[Finding]:
    """See that the log is whole and has each release once. Nobody else has it open."""
    connection = sqlite3.connect(f"{audit.as_uri()}?mode=ro", uri=True)
    try:
        (verdict,) = connection.execute("PRAGMA integrity_check").fetchone()
        if verdict != "ok":
            yield Finding("lost", "", f"the audit log is damaged: {verdict}")
        count, last = connection.execute("SELECT count(*), max(sequence) FROM events").fetchone()
        if count != last:
            yield Finding("lost", "", f"the audit log has {count} events and counts up to {last}")
        accepted = connection.execute("SELECT count(*) FROM releases").fetchone()[0]
        if accepted != len(told):
            yield Finding("repeated", "", f"the audit log has {accepted} releases of {len(told)} requests")
    finally:
        connection.close()


def _everything_on(daemon: DaemonProcess, told: Told) -> str:
    """The plan of a release, its events, and what the daemon's log says of it."""
    mode = ContainerMode.Name(told.plan.mode)
    lines = [f"--- {told.name or 'not accepted'}, r{told.plan.number} of {told.plan.target}, {mode}"]
    lines += [
        f"    {told.plan.tag(index)} to be {command.state}: {command.script.line[:300]}"
        for index, command in enumerate(told.plan.commands)
    ]
    if told.name:
        lines += [f"    {_line_of(event)}" for event in _events_of(daemon, told.name)]
        lines += [f"    {line}" for line in daemon.log.splitlines() if told.name in line]
    return "\n".join(lines)


def _events_of(daemon: DaemonProcess, name: str) -> list[ReleaseEvent]:
    """Its events so far, also of a release that does not end."""
    events: list[ReleaseEvent] = []
    with suppress(grpc.RpcError):
        for event in daemon.watch(name, timeout=2):
            events.append(event)
    return events


def _line_of(event: ReleaseEvent) -> str:
    kind = str(event.WhichOneof("payload"))
    time = event.event_time.ToDatetime().time()
    if kind == "command_output":
        output = event.command_output
        stream = output.Stream.Name(output.stream).removeprefix("STREAM_").lower()
        what = f"{output.command_index} {stream}, {len(output.data)} bytes, {output.data[:40]!r}"
    else:
        what = str(getattr(event, kind)).replace("\n", " ")[:200]
    return f"{event.sequence:6} {time} {kind} {what}"
