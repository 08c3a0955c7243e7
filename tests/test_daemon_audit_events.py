"""ListEvents and ExportEvents: what is stored, as it is stored, page by page or as a stream."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from released.audit.chain import GENESIS, link, output_digest_of
from released.audit.reader import EVENTS_AT_ONCE
from released.service import audit as audit_service
from releasephase.v1.audit_service_pb2 import (
    AuditEvent,
    ExportEventsRequest,
    ListEventsRequest,
    ListEventsResponse,
)
from releasephase.v1.audit_service_pb2_grpc import AuditServiceStub
from support.app import STDERR, App, Outcome
from support.command_line import releasectl
from support.rpc_errors import details_of, refused

LONG = f"for i in $(seq {3 * EVENTS_AT_ONCE}); do echo line $i; echo no $i >&2; done"


async def page(app: App, **fields: Any) -> ListEventsResponse:
    return await AuditServiceStub(app.channel).ListEvents(ListEventsRequest(**fields))


async def listed(app: App, **fields: Any) -> list[AuditEvent]:
    """All events that are asked for, over all pages."""
    answer = await page(app, **fields)
    events = list(answer.events)
    while answer.next_page_token:
        answer = await page(app, page_token=answer.next_page_token, **fields)
        events += answer.events
    return events


async def exported(app: App, **fields: Any) -> list[AuditEvent]:
    call = AuditServiceStub(app.channel).ExportEvents(ExportEventsRequest(**fields))
    return [event async for batch in call for event in batch.events]


def digest_of(event: AuditEvent) -> str:
    """The digest that an event should have, by what was sent."""
    body = (event.kind, event.body)
    time = event.event_time.seconds * 1_000_000 + event.event_time.nanos // 1000
    size = event.output_bytes if event.HasField("output_bytes") else None
    output = bytes.fromhex(event.output_digest) or None
    release_id = event.release.removeprefix("releases/")
    previous = bytes.fromhex(event.previous_digest)
    return link(previous, event.sequence, release_id, time, *body, size, output).hex()


def assert_verifies(events: list[AuditEvent]) -> None:
    """Nothing but what was sent is needed to verify it."""
    for before, event in zip([None, *events], events, strict=False):
        assert event.digest == digest_of(event)
        if before:
            assert (event.sequence, event.previous_digest) == (before.sequence + 1, before.digest)
        if event.HasField("output"):
            assert event.output_digest == output_digest_of(event.output).hex()
            assert event.output_bytes == len(event.output)


async def a_release(app: App) -> Outcome:
    """One that prints much, between two others."""
    await app.run("echo before", environment="test")
    release = await app.run("echo first", LONG, "echo last >&2; exit 3")
    await app.run("echo after", environment="test")
    return release


async def test_events_of_a_release_are_those_that_a_watch_tells(app: App) -> None:
    """In their order, with their output; and no others."""
    release = await a_release(app)
    events = await listed(app, release=release.release.name)
    assert [event.sequence for event in events] == [event.sequence for event in release.events]
    assert {event.release for event in events} == {release.release.name}
    assert [event.kind for event in events if event.kind != "command_output"] == [
        kind.replace("accepted", "release_accepted", 1) if kind == "accepted" else kind
        for kind in release.kinds
    ]
    printed = b"".join(event.output for event in events)
    assert printed == b"".join(event.command_output.data for event in release.events)


async def test_tail_of_a_stream_is_the_first_page_from_the_end(app: App) -> None:
    """Whatever else was printed."""
    release = await a_release(app)
    wanted = "kind = command_output AND command_index = 1 AND stream = STDERR"
    found = await page(
        app, release=release.release.name, filter=wanted, order_by="sequence desc", page_size=3
    )
    printed = b"".join(event.output for event in reversed(found.events))
    assert release.output(1, STDERR).endswith(printed)
    assert printed
    assert [json.loads(event.body)["stream"] for event in found.events] == ["STDERR"] * len(found.events)


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_pages_have_each_event_once(app: App, size: int) -> None:
    """In both orders, of all of the log; what is added meanwhile changes no page."""
    await app.run("echo a", "echo b")
    forward = await listed(app, page_size=size)
    backward = await listed(app, order_by="sequence desc", page_size=size)
    assert [event.sequence for event in forward] == list(range(1, len(forward) + 1))
    assert forward == backward[::-1]
    assert_verifies(forward)
    assert forward[0].previous_digest == GENESIS.hex()


async def test_events_are_found_by_kind_time_and_sequence(app: App) -> None:
    """Of all of the log, too."""
    release = await a_release(app)
    everything = await listed(app)
    middle = everything[len(everything) // 2]
    finished = await listed(app, filter="kind = command_finished")
    assert finished == [event for event in everything if event.kind == "command_finished"]
    assert len(finished) == 5
    time = middle.event_time.ToJsonString()
    later = await listed(app, filter=f'event_time >= "{time}"')
    assert later == [
        event for event in everything if event.event_time.ToNanoseconds() >= middle.event_time.ToNanoseconds()
    ]
    around = await listed(app, filter=f"sequence > {middle.sequence - 2} AND sequence <= {middle.sequence}")
    assert [event.sequence for event in around] == [middle.sequence - 1, middle.sequence]
    both = await listed(app, release=release.release.name, filter=f"sequence > {middle.sequence}")
    assert both == [
        event
        for event in everything
        if event.release == release.release.name and event.sequence > middle.sequence
    ]


async def test_what_can_t_be_listed_is_bad_input(app: App) -> None:
    """With the field that is wrong; a token belongs to its release, filter and order."""
    first, second = await app.run("echo a"), await app.run("true")
    name = first.release.name
    token = (await page(app, release=name, page_size=1)).next_page_token
    for fields, wrong in (
        ({"release": "shop"}, "release"),
        ({"filter": "kind = shop"}, "filter"),
        ({"filter": "sequence > -1"}, "filter"),
        ({"order_by": "event_time"}, "order_by"),
        ({"page_size": -1}, "page_size"),
        ({"page_token": token}, "page_token"),
        ({"page_token": token, "release": second.release.name}, "page_token"),
        ({"page_token": token, "release": name, "order_by": "sequence desc"}, "page_token"),
        ({"page_token": token, "release": name, "filter": "sequence > 0"}, "page_token"),
    ):
        error = await refused(page(app, **fields))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert [violation.field for violation in details_of(error)[1].field_violations] == [wrong], fields
    error = await refused(page(app, release="releases/01900000-0000-7000-8000-000000000001"))
    assert error.code() is grpc.StatusCode.NOT_FOUND


async def test_export_is_the_whole_log_and_verifies_by_itself(app: App) -> None:
    """From any sequence on, with or without output."""
    release = await a_release(app)
    events = await exported(app)
    assert events == await listed(app, page_size=1000)
    assert events[-1].sequence >= release.release.last_sequence
    assert_verifies(events)
    middle = len(events) // 2
    assert await exported(app, after_sequence=events[middle].sequence) == events[middle + 1 :]
    assert await exported(app, after_sequence=events[-1].sequence) == []
    without = await exported(app, without_output=True)
    assert_verifies(without)
    assert not any(event.HasField("output") for event in without)
    assert [event.digest for event in without] == [event.digest for event in events]


async def test_export_in_batches_that_any_client_takes(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much was printed; an event is never split."""
    monkeypatch.setattr(audit_service, "LARGEST", 100_000)
    await app.run("head -c 1000000 /dev/urandom")
    call = AuditServiceStub(app.channel).ExportEvents(ExportEventsRequest())
    batches = [batch async for batch in call]
    assert len(batches) > 5
    assert all(batch.ByteSize() < 200_000 for batch in batches)
    assert_verifies([event for batch in batches for event in batch.events])


async def test_export_ends_while_the_log_goes_on(app: App) -> None:
    """It goes up to the newest event of the moment at which it was asked for."""
    release = await app.start("until [ -e /tmp/never ]; do echo line; sleep 0.01; done")
    await app.until_output(release.name, b"line\n")
    async with asyncio.timeout(60):
        first = await exported(app)
        second = await exported(app, after_sequence=first[-1].sequence)
    await app.cancel(release.name)
    await app.outcome(release.name)
    assert_verifies([*first, *second])


async def test_exported_file_is_verified_without_a_daemon(app: App, tmp_path: Path) -> None:
    """As `releasectl` writes it, in two goes, and reads it; what is changed in it is found."""
    file = tmp_path / "audit.jsonl"
    for _ in range(2):
        await app.run("echo first", "head -c 100000 /dev/urandom; echo last >&2")
        exported = await releasectl(app.config.server.socket, "audit", "export", "-o", str(file))
        assert (exported.exit_code, exported.stdout) == (0, b"")
    verified = await releasectl(tmp_path, "audit", "verify", "--offline", str(file))
    assert (verified.exit_code, verified.stdout) == (0, b"")
    newest = (await page(app, order_by="sequence desc", page_size=1)).events[0]
    receipt = f"(receipt {newest.sequence}:{newest.digest})"
    assert verified.stderr == f"the export is sound: events 1 to {newest.sequence} {receipt}\n"
    lines = file.read_bytes().splitlines(keepends=True)
    (number,) = [number for number, line in enumerate(lines) if b"state_changed" in line][:1]
    lines[number] = lines[number].replace(b"PREPARING", b"SUCCEEDED")
    file.write_bytes(b"".join(lines))
    tampered = await releasectl(tmp_path, "audit", "verify", "--offline", str(file))
    assert tampered.exit_code == 1
    assert tampered.stdout.startswith(f"event {number + 1} ".encode())


async def test_sequence_behind_the_end_is_bad_input(app: App) -> None:
    """Nothing would come until the log has grown as far, and what comes before that never."""
    await a_release(app)
    newest = (await exported(app))[-1].sequence
    for sequence in (newest + 1, 2**63 - 1):
        error = await refused(exported(app, after_sequence=sequence))
        assert [violation.field for violation in details_of(error)[1].field_violations] == ["after_sequence"]
        assert f"the log goes to event {newest}" in (error.details() or "")


async def test_negative_sequence_is_bad_input(app: App) -> None:
    """Nothing has one."""
    error = await refused(exported(app, after_sequence=-1))
    assert [violation.field for violation in details_of(error)[1].field_violations] == ["after_sequence"]


async def test_a_page_of_much_output_ends_early(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC's clients take 4 MiB; together the pages have all."""
    release = await app.run("head -c 8000000 /dev/urandom")
    answer = await page(app, release=release.release.name, page_size=1000)
    assert answer.next_page_token
    assert answer.ByteSize() < 3_000_000
    events = await listed(app, release=release.release.name, page_size=1000)
    assert sum(event.output_bytes for event in events) == 8_000_000
