"""`releasectl audit events` and `audit export`, against a scripted service."""

import base64
import json
import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from released.audit.chain import GENESIS, link, output_digest_of
from released.audit.filter import compile_event_filter
from releasephase.v1.audit_service_pb2 import AuditEvent, ExportEventsResponse, ListEventsResponse
from support.command_line import Result, releasectl
from support.scripted_service import Refusal, ScriptedService
from support.story import NAME

RELEASE_ID = NAME.removeprefix("releases/")
SECOND = 1_767_225_600


def a_chain(count: int, *, seed: str = "") -> list[AuditEvent]:
    """Events that follow each other; every third one has output, every sixth's was pruned."""
    events = []
    previous = GENESIS
    for sequence in range(1, count + 1):
        output = b"\xff\x00 output\n" * sequence if sequence % 3 == 0 else None
        body = json.dumps({"kind": "a", "name": f"ä {seed} {sequence}"}, ensure_ascii=False)
        size, output_digest = (len(output), output_digest_of(output)) if output else (None, None)
        time = SECOND * 1_000_000 + sequence
        release_id = RELEASE_ID if sequence > 1 else ""
        digest = link(previous, sequence, release_id, time, "a_kind", body, size, output_digest)
        event = AuditEvent(
            sequence=sequence,
            release=f"releases/{release_id}" if release_id else "",
            event_time=Timestamp(seconds=SECOND, nanos=sequence * 1000),
            kind="a_kind",
            body=body,
            output_bytes=size,
            output_digest=output_digest.hex() if output_digest else "",
            output=None if sequence % 6 == 0 else output,
            previous_digest=previous.hex(),
            digest=digest.hex(),
        )
        events.append(event)
        previous = digest
    return events


EVENTS = a_chain(9)


def batches(*events: AuditEvent) -> list[ExportEventsResponse]:
    """Two in each."""
    return [ExportEventsResponse(events=events[start : start + 2]) for start in range(0, len(events), 2)]


def assert_verifies(lines: list[bytes], count: int = 9) -> None:
    """By the lines alone, with nothing of ours but the form of the chain."""
    previous = GENESIS.hex()
    assert [json.loads(line)["sequence"] for line in lines] == list(range(1, count + 1))
    for line in lines:
        event = json.loads(line)
        output = bytes.fromhex(event["output_digest"]) if event["output_digest"] else None
        body = (event["kind"], event["body"], event["output_bytes"], output)
        time = (event["event_time"], *body)
        digest = link(bytes.fromhex(previous), event["sequence"], event["release_id"], *time)
        assert (event["previous_digest"], event["digest"]) == (previous, digest.hex())
        previous = event["digest"]
        if "output" in event:
            assert output_digest_of(base64.b64decode(event["output"])).hex() == event["output_digest"]


async def export(service: ScriptedService, *arguments: str) -> Result:
    return await releasectl(service.socket, "audit", "export", *arguments)


async def test_export_to_stdout(service: ScriptedService) -> None:
    """Each event is a line; how to go on is a message."""
    service.stream(*batches(*EVENTS), method="ExportEvents")
    result = await export(service)
    assert_verifies(result.stdout.splitlines())
    assert result.exit_code == 0
    assert result.stderr == "9 events (1 to 9); go on with: releasectl audit export --after 9\n"
    assert service.requests[0].after_sequence == 0


async def test_form_of_a_line(service: ScriptedService) -> None:
    """Scripts and verifiers are written against it."""
    service.stream(*batches(EVENTS[2], EVENTS[3], EVENTS[5]), method="ExportEvents")
    with_output, without, pruned = map(
        json.loads, (await export(service, "--after", "2")).stdout.splitlines()
    )
    assert list(with_output) == [
        *("sequence", "release_id", "event_time", "kind", "body", "output_bytes", "output_digest", "output"),
        *("previous_digest", "digest"),
    ]
    assert with_output["release_id"] == RELEASE_ID
    assert with_output["event_time"] == SECOND * 1_000_000 + 3
    assert base64.b64decode(with_output["output"]) == EVENTS[2].output
    assert json.loads(with_output["body"]) == {"kind": "a", "name": "ä  3"}
    assert (without["output_bytes"], without["output_digest"], "output" in without) == (None, None, False)
    assert (pruned["output_bytes"], "output" in pruned) == (60, False)


async def test_export_without_output(service: ScriptedService) -> None:
    """The daemon leaves it out."""
    service.stream(method="ExportEvents")
    result = await export(service, "--no-output", "--after", "7")
    assert result.stderr == "0 events; go on with: releasectl audit export --after 7\n"
    (request,) = service.requests
    assert (request.after_sequence, request.without_output) == (7, True)


@pytest.mark.parametrize("kept", [0, 1, 5, 9])
@pytest.mark.parametrize("torn", [b"", b'{"sequence":7,"rel'])
async def test_export_goes_on_where_the_file_ended(
    service: ScriptedService, tmp_path: Path, kept: int, torn: bytes
) -> None:
    """A torn line is cut off; the last event is asked for again, to see that it is the same log."""
    file = tmp_path / "export.jsonl"
    service.stream(*batches(*EVENTS[:kept]), method="ExportEvents")
    service.stream(*batches(*EVENTS[max(0, kept - 1) :]), method="ExportEvents")
    assert (await export(service, "-o", str(file))).exit_code == 0
    with file.open("ab") as end:
        end.write(torn)
    result = await export(service, "--output", str(file))
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr.endswith(f"written to {file}, which goes to event 9\n")
    assert_verifies(file.read_bytes().splitlines())
    assert service.requests[-1].after_sequence == max(0, kept - 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_export_after_what_was_pruned(service: ScriptedService, tmp_path: Path) -> None:
    """The last event of the file is gone; what follows it says that it is the same log."""
    file = tmp_path / "export.jsonl"
    service.stream(*batches(*EVENTS[:5]), method="ExportEvents")
    service.stream(*batches(*EVENTS[5:]), method="ExportEvents")
    await export(service, "-o", str(file))
    assert (await export(service, "-o", str(file))).exit_code == 0
    assert_verifies(file.read_bytes().splitlines())


async def test_export_of_a_log_that_is_pruned_meanwhile(service: ScriptedService, tmp_path: Path) -> None:
    """What is in the file stays without a gap."""
    file = tmp_path / "export.jsonl"
    service.stream(*batches(*EVENTS[:4], *EVENTS[6:]), method="ExportEvents")
    result = await export(service, "-o", str(file))
    assert result.exit_code == 1
    assert f"{file} ends with event 4, and this log has nothing that follows it" in result.stderr
    assert_verifies(file.read_bytes().splitlines(), 4)


async def test_export_tells_what_was_pruned(service: ScriptedService, tmp_path: Path) -> None:
    """Before what it begins with, and in between; into a file, only before."""
    for events in (EVENTS[4:], EVENTS[4:], [*EVENTS[:4], *EVENTS[5:]]):
        service.stream(*batches(*events), method="ExportEvents")
    for arguments in ((), ("-o", str(tmp_path / "export.jsonl"))):
        result = await export(service, *arguments, "--after", "2")
        assert result.exit_code == 0
        pruned, written = result.stderr.splitlines()
        assert pruned == "pruned, and so left out: events 3 to 4"
        assert written.startswith("5 events (5 to 9)")
    assert (await export(service)).stderr.startswith("pruned, and so left out: event 5\n8 events (1 to 9)")


async def test_export_of_a_log_that_is_shorter_than_the_file(
    service: ScriptedService, tmp_path: Path
) -> None:
    """The daemon refuses it: a backup was restored, say; the file stays as it was."""
    file = tmp_path / "export.jsonl"
    refusal = Refusal(grpc.StatusCode.INVALID_ARGUMENT, "after_sequence: the log goes to event 3")
    for answer in ([*batches(*EVENTS)], [refusal], [refusal]):
        service.stream(*answer, method="ExportEvents")
    await export(service, "-o", str(file))
    before = file.read_bytes()
    result = await export(service, "-o", str(file))
    assert result.exit_code == 1
    assert f"{file} ends with event 9, and this log has nothing that follows it" in result.stderr
    assert file.read_bytes() == before
    result = await export(service, "--after", "8")
    assert (result.exit_code, result.stdout) == (2, b"")
    assert "the log goes to event 3" in result.stderr


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(a_chain(9, seed="other")[4:], id="another log"),
        pytest.param(EVENTS[6:], id="what comes next was pruned"),
        pytest.param([], id="a log that has no more"),
    ],
)
async def test_export_of_another_log_does_not_go_on(
    service: ScriptedService, tmp_path: Path, events: list[AuditEvent]
) -> None:
    """The file stays as it was."""
    file = tmp_path / "export.jsonl"
    service.stream(*batches(*EVENTS[:5]), method="ExportEvents")
    service.stream(*batches(*events), method="ExportEvents")
    await export(service, "-o", str(file))
    before = file.read_bytes()
    result = await export(service, "-o", str(file))
    assert result.exit_code == 1
    assert f"{file} ends with event 5, and this log has nothing that follows it" in result.stderr
    assert file.read_bytes() == before


@pytest.mark.parametrize("content", [b"letters\n", b"letters", b'{"a":1}\n', b"[]\n", b"\0" * 10, b"\n"])
async def test_file_that_is_no_export_is_refused(
    service: ScriptedService, tmp_path: Path, content: bytes
) -> None:
    """And stays as it is: somebody may have mistaken its name."""
    file = tmp_path / "letters.txt"
    file.write_bytes(content)
    result = await export(service, "-o", str(file))
    assert result.exit_code == 2
    assert "can't be gone on with" in result.stderr
    assert (file.read_bytes(), service.requests) == (content, [])


async def test_export_after_a_sequence_into_a_file(service: ScriptedService, tmp_path: Path) -> None:
    """For a new file only: one that is there knows where it goes on."""
    file = tmp_path / "export.jsonl"
    service.stream(*batches(*EVENTS[3:]), method="ExportEvents")
    assert (await export(service, "-o", str(file), "--after", "3")).exit_code == 0
    assert json.loads(file.read_bytes().splitlines()[0])["sequence"] == 4
    again = await export(service, "-o", str(file), "--after", "3")
    assert again.exit_code == 2
    assert "goes on after event 9: leave out --after" in again.stderr


async def test_export_that_is_cut_keeps_what_came(service: ScriptedService, tmp_path: Path) -> None:
    """The next one goes on from there."""
    file = tmp_path / "export.jsonl"
    lost = Refusal(grpc.StatusCode.UNAVAILABLE, "Socket closed")
    service.stream(*batches(*EVENTS[:4]), lost, method="ExportEvents")
    service.stream(*batches(*EVENTS[3:]), method="ExportEvents")
    assert (await export(service, "-o", str(file))).exit_code == 5
    assert (await export(service, "-o", str(file))).exit_code == 0
    assert_verifies(file.read_bytes().splitlines())


async def test_export_of_no_daemon_makes_no_file(tmp_path: Path) -> None:
    """Nobody takes an empty file for an export of an empty log."""
    file = tmp_path / "export.jsonl"
    result = await releasectl(tmp_path / "nobody.sock", "audit", "export", "-o", str(file))
    assert (result.exit_code, file.exists()) == (5, False)


@pytest.mark.parametrize("kept", [0, 5, 9])
async def test_export_makes_a_file_private(service: ScriptedService, tmp_path: Path, kept: int) -> None:
    """Also one that was there and that everybody could read, whether or not anything is added."""
    file = tmp_path / "export.jsonl"
    file.touch()
    service.stream(*batches(*EVENTS[:kept]), method="ExportEvents")
    service.stream(*batches(*EVENTS[max(0, kept - 1) :]), method="ExportEvents")
    await export(service, "-o", str(file))
    file.chmod(0o644)
    assert (await export(service, "-o", str(file))).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert_verifies(file.read_bytes().splitlines())


async def test_file_that_does_not_go_on_stays_as_it_is(service: ScriptedService, tmp_path: Path) -> None:
    """Its mode, and a line at its end that was torn off, too."""
    file = tmp_path / "export.jsonl"
    service.stream(*batches(*EVENTS[:5]), method="ExportEvents")
    service.stream(*batches(*EVENTS[6:]), method="ExportEvents")
    await export(service, "-o", str(file))
    file.chmod(0o644)
    with file.open("ab") as end:
        end.write(b'{"sequence":6,"rel')
    before = file.read_bytes()
    assert (await export(service, "-o", str(file))).exit_code == 1
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (before, 0o644)


async def test_export_to_a_device_leaves_it_as_it_is(service: ScriptedService) -> None:
    """Nobody else could use it any more."""
    service.stream(*batches(*EVENTS), method="ExportEvents")
    before = os.stat("/dev/null").st_mode
    assert (await export(service, "-o", "/dev/null")).exit_code == 0
    assert os.stat("/dev/null").st_mode == before


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("/nonexistent/export.jsonl", "/nonexistent/export.jsonl: No such file or directory"),
        ("/dev/full", "/dev/full: No space left on device"),
    ],
)
async def test_file_that_can_not_be_written_is_named(service: ScriptedService, file: str, words: str) -> None:
    """Whoever exports from a timer has more than one."""
    service.stream(*batches(*EVENTS), method="ExportEvents")
    result = await export(service, "-o", file)
    assert (result.exit_code, result.stderr) == (1, f"releasectl: {words}\n")


@pytest.fixture
def full_disk() -> Iterator[IO[bytes]]:
    with open("/dev/full", "wb", buffering=0) as full:
        yield full


async def test_export_to_a_full_disk(service: ScriptedService, full_disk: IO[bytes]) -> None:
    """Nobody takes what came for all of it."""
    service.stream(*batches(*EVENTS), method="ExportEvents")
    result = await releasectl(service.socket, "audit", "export", stdout=full_disk)
    assert (result.exit_code, result.stderr) == (
        1,
        "releasectl: standard output: No space left on device\n",
    )


async def test_events_are_a_table_of_the_newest(service: ScriptedService) -> None:
    """In the order in which they happened; how to see more is a message."""
    service.answer("ListEvents", ListEventsResponse(events=EVENTS[:2:-1], next_page_token="next"))
    result = await releasectl(service.socket, "audit", "events", "--limit", "6")
    rows = [line.split()[:5] for line in result.stdout.decode().splitlines()]
    assert rows[0] == ["EVENT", "TIME", "RELEASE", "KIND", "OUTPUT"]
    assert [row[0] for row in rows[1:]] == ["4", "5", "6", "7", "8", "9"]
    assert rows[3][1:] == ["2026-01-01T00:00:00Z", RELEASE_ID, "a_kind", "60"]
    assert result.stderr == "older ones: releasectl audit events --limit 6 --page-token next\n"
    (request,) = service.requests
    assert (request.order_by, request.page_size, request.filter, request.release) == (
        "sequence desc",
        6,
        "",
        "",
    )


async def test_events_as_json_lines(service: ScriptedService) -> None:
    """One a line, as the contract has them."""
    service.answer("ListEvents", ListEventsResponse(events=EVENTS[::-1]), ListEventsResponse())
    result = await releasectl(service.socket, "audit", "events", "--json", "--page-token", "abc")
    found = [ParseDict(json.loads(line), AuditEvent()) for line in result.stdout.splitlines()]
    assert (found, result.stderr) == (EVENTS, "")
    assert service.requests[0].page_token == "abc"
    empty = await releasectl(service.socket, "audit", "events", "--json")
    assert (empty.stdout, empty.stderr) == (b"", "")


async def test_next_page_of_events_is_of_the_same_list(service: ScriptedService) -> None:
    """An age is the same instant there."""
    service.answer("ListEvents", ListEventsResponse(events=EVENTS[:2:-1], next_page_token="next"))
    arguments = ("--since", "9d", "--release", NAME, "--kind", "a_kind", "--json")
    first = await releasectl(service.socket, "audit", "events", *arguments)
    second = await releasectl(service.socket, *shlex.split(first.stderr.partition(": ")[2])[1:])
    assert second == first
    before, after = service.requests
    before.page_token = "next"
    assert after == before


async def test_options_of_events(service: ScriptedService) -> None:
    """What is asked for is asked of the daemon, which understands it."""
    service.answer("ListEvents", ListEventsResponse())
    result = await releasectl(
        service.socket,
        *("audit", "events", "--release", RELEASE_ID, "--kind", "command_output"),
        *("--since", "2026-01-01T00:00:00Z", "--filter", "stream = STDERR"),
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, b"", "no events\n")
    (request,) = service.requests
    assert request.release == NAME
    assert request.filter == (
        'stream = STDERR AND kind = "command_output" AND event_time >= "2026-01-01T00:00:00Z"'
    )
    compile_event_filter(request.filter)
