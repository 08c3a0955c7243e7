"""What `status` says, as rows of words."""

from __future__ import annotations

from collections.abc import Iterator

from releasephase.v1.daemon_service_pb2 import (
    AuditStatus,
    ConfigurationStatus,
    DaemonStatus,
    LaneStatus,
    LockGroupStatus,
)

from . import formatting
from .tables import Fields, Table, When
from .words import seconds

HIDDEN = "another's"
"""Stands for a release that the caller may not read."""


def status_fields(status: DaemonStatus, when: When) -> Fields:
    """Return what `releasectl status` says about the daemon."""
    engine, audit = status.engine, status.audit
    answer = f"{engine.version} at {engine.url}" if engine.reachable else f"UNREACHABLE at {engine.url}"
    events = f"{audit.path}, {_up_to(audit)}"
    fields = [
        ("released", status.version),
        ("started", when(status.start_time)),
        ("engine", f"{answer}: {engine.message}" if engine.message else answer),
        ("releases", _under_way(status)),
        ("audit log", events if audit.writable else f"{events}, NOT WRITABLE: {audit.message}"),
        *_kept(audit, when),
        *_head(audit),
        ("disk", ", ".join(_disk(audit))),
    ]
    if configuration := "; ".join(_configuration(status.configuration)):
        fields.append(("configuration", configuration))
    return fields


def _up_to(audit: AuditStatus) -> str:
    """Not how many events there are: those before may have been pruned."""
    return f"up to event {audit.last_sequence:,}" if audit.last_sequence else "no events"


def _under_way(status: DaemonStatus) -> str:
    if status.draining:
        return f"DRAINING: {status.running_releases} under way; nothing is accepted or started"
    return f"{status.running_releases} of at most {status.max_concurrent} under way"


def _configuration(configuration: ConfigurationStatus) -> Iterator[str]:
    """What an operator who changed the file has still to do."""
    if configuration.message:
        yield f"REFUSED: {configuration.message}"
    if configuration.keys_at_restart:
        yield f"not before a RESTART: {', '.join(configuration.keys_at_restart)}"


def _head(audit: AuditStatus) -> Iterator[tuple[str, str]]:
    if audit.HasField("head"):
        yield "receipt", formatting.receipt(audit.head)


def _kept(audit: AuditStatus, when: When) -> Iterator[tuple[str, str]]:
    """Since when the log is complete, if retention has removed something."""
    kept = []
    if audit.HasField("events_since_time"):
        kept.append(f"events since {when(audit.events_since_time)}")
    if audit.HasField("output_since_time"):
        kept.append(f"output since {when(audit.output_since_time)}")
    if kept:
        yield "kept", "; ".join(kept)


def _disk(audit: AuditStatus) -> Iterator[str]:
    yield f"{formatting.size(audit.size_bytes)} used"
    yield f"{formatting.size(audit.free_bytes)} free"
    if audit.reserve_bytes:
        yield f"{formatting.size(audit.reserve_bytes)} kept for results"


def lane_table(status: DaemonStatus) -> Table:
    """Return the table of the targets with a release that has not ended.

    Numbers are those in the target's own queue; a release's queue position counts its groups', too.
    """
    rows = [
        (lane.target, name.removeprefix("releases/"), place)
        for lane in status.lanes
        for name, place in _places(lane)
    ]
    return Table(("TARGET", "RELEASE", "PLACE"), rows, elastic="TARGET")


def _places(lane: LaneStatus) -> Iterator[tuple[str, str]]:
    if lane.running_release:
        yield lane.running_release, "STUCK" if lane.trouble else "under way"
    for number, name in enumerate(lane.queued_releases, 1):
        yield name, f"waits, number {number}"


def group_table(status: DaemonStatus) -> Table:
    """Return the table of the lock groups: who holds each, and who waits for it."""
    rows = [
        (group.name, HIDDEN if name == "releases/-" else name.removeprefix("releases/"), place)
        for group in status.lock_groups
        for name, place in _group_places(group)
    ]
    return Table(("LOCK GROUP", "RELEASE", "PLACE"), rows, elastic="LOCK GROUP")


def _group_places(group: LockGroupStatus) -> Iterator[tuple[str, str]]:
    for name in group.running_releases:
        yield name, "holds it"
    for number, name in enumerate(group.queued_releases, 1):
        yield name, f"waits, number {number}"


def stuck_fields(status: DaemonStatus, when: When) -> Fields:
    """Return what does not get on, and why: in full, since it says what to do."""
    lanes = [
        ("stuck", f"{lane.target} since {when(lane.trouble_time)}: {lane.trouble}")
        for lane in status.lanes
        if lane.trouble
    ]
    orphans = [
        ("orphan", f"{each.container_name} since {when(each.first_seen_time)}: {each.message}")
        for each in status.orphans
    ]
    return [*lanes, *orphans, *_slow_fields(status, when)]


def _slow_fields(status: DaemonStatus, when: When) -> Fields:
    """Return which commands take much longer than usual."""
    return [
        (
            "slow",
            f"{lane.target}: {lane.slow_command.label} since {when(lane.slow_command.start_time)}, "
            f"usually {formatting.duration(seconds(lane.slow_command.median))}",
        )
        for lane in status.lanes
        if lane.HasField("slow_command")
    ]
