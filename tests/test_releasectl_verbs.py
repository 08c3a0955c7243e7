"""The other verbs of the command line, each as a process of its own, against a scripted service."""

import asyncio
import json
import signal
from collections.abc import Sequence

import pytest
from google.protobuf.json_format import ParseDict

from releasectl.messages import extent_text
from releasephase.v1.audit_service_pb2 import AuditExtent, AuditProblem, VerifyAuditResponse
from releasephase.v1.daemon_service_pb2 import DaemonStatus, DrainProgress
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import OUTCOME_ABANDONED, OUTCOME_DEPLOYED, Receipt, Release
from releasephase.v1.release_service_pb2 import (
    ListReleasesResponse,
    ReportOutcomeRequest,
)
from support.command_line import releasectl, start
from support.scripted_service import CONNECTION_LOST, Refusal, ScriptedService, script
from support.story import NAME, Story, a_failure, a_success

UUID_ONLY = NAME.removeprefix("releases/")
FAILED_LOG = (
    b"===== docker release commands =====\n\nRunning migrate...\n\nTraceback\n\n"
    b"Migrate failed. Exit code 1.\nSkipped: check.\n"
)


@pytest.mark.parametrize(
    "verb", [("run", "shop/live", "shop:42"), ("watch", UUID_ONLY), ("logs", "-f", NAME)]
)
async def test_streams_as_json_lines(service: ScriptedService, verb: Sequence[str]) -> None:
    """Each event is one line: the proto3 JSON mapping with the field names of the .proto."""
    story, events = a_failure()
    script(service, story, events)
    result = await releasectl(service.socket, *verb, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [ParseDict(line, ReleaseEvent()) for line in lines] == events
    assert lines[3]["command_started"] == {"command_index": 0, "label": "migrate"}
    assert lines[4]["command_output"]["data"] == "VHJhY2ViYWNrCg=="
    assert result.stderr == ""
    assert result.exit_code == (0 if verb[0] == "logs" else 1)


async def test_watch_exits_by_the_result(service: ScriptedService) -> None:
    """Watching a release is as good as having run it."""
    script(service, *a_failure())
    result = await releasectl(service.socket, "watch", UUID_ONLY)
    assert (result.exit_code, result.stdout) == (1, FAILED_LOG)
    assert service.requests[0].name == NAME


async def test_logs_prints_the_log_and_exits_0(service: ScriptedService) -> None:
    """Whatever became of the release, its log could be read; nothing else is said."""
    script(service, *a_failure())
    result = await releasectl(service.socket, "logs", NAME)
    assert (result.exit_code, result.stdout, result.stderr) == (0, FAILED_LOG, "")


async def test_logs_tells_what_is_missing(service: ScriptedService) -> None:
    """It has no messages beside the log: what is missing stands in it, the daemon's return does not."""
    story = Story("migrate")
    events = [story.accepted(), story.started(0), story.adopted(), story.lost(0, "gone"), story.finished(0)]
    service.stream(*events, story.succeeded())
    service.answer("GetRelease", story.release)
    result = await releasectl(service.socket, "logs", NAME)
    assert result.stderr == ""
    assert "\n\n[… output on stdout of migrate is missing: gone …]\n\n" in result.stdout.decode()
    assert "started again" not in result.stdout.decode()


async def test_logs_of_a_running_release_ends_where_it_is(service: ScriptedService) -> None:
    """Without --follow it does not wait for more."""
    story, events = a_success()
    story.release.last_sequence = events[6].sequence
    script(service, story, [*events[:7], asyncio.Event()])  # type: ignore[list-item]
    result = await releasectl(service.socket, "logs", NAME)
    assert result.exit_code == 0
    assert result.stdout.endswith(b"Running migrate...\n\nApplying 0001_initial... OK\n")


async def test_logs_follow_goes_on_to_the_end(service: ScriptedService) -> None:
    """With --follow it waits; a release that failed was read all the same."""
    script(service, *a_failure())
    result = await releasectl(service.socket, "logs", "--follow", NAME)
    assert (result.exit_code, result.stdout, result.stderr) == (0, FAILED_LOG, "")


async def test_output_is_byte_exact_on_a_pipe(service: ScriptedService) -> None:
    """No byte is decoded, escaped or lost."""
    story = Story("all bytes")
    data = bytes(range(256)) * 300 + b"\n"
    events = [story.accepted(), story.started(0), story.output(0, data), story.finished(0), story.succeeded()]
    script(service, story, events)
    result = await releasectl(service.socket, "logs", NAME)
    assert result.stdout == (
        b"===== docker release commands =====\n\nRunning all bytes...\n\n" + data + b"\n"
    )


async def test_history_builds_the_filter(service: ScriptedService) -> None:
    """What is asked for is asked of the daemon, not filtered here."""
    service.answer("ListReleases", ListReleasesResponse())
    result = await releasectl(
        service.socket,
        *("history", "shop/live", "--state", "failed", "--since", "2026-01-01T00:00:00Z"),
        *("--label", 'ticket="X"', "--limit", "7", "--page-token", "abc"),
    )
    assert (result.exit_code, result.stdout, result.stderr) == (0, b"", "no releases\n")
    (request,) = service.requests
    assert request.filter == (
        'application = "shop" AND environment = "live" AND state = FAILED'
        ' AND create_time >= "2026-01-01T00:00:00Z" AND labels.ticket = "\\"X\\""'
    )
    assert (request.page_size, request.page_token) == (7, "abc")


async def test_history_tells_what_it_lacks(service: ScriptedService) -> None:
    """By name, as far as names are known; in JSON, too."""
    unreachable = [NAME, "releases/-"]
    answer = ListReleasesResponse(releases=[Story().release], unreachable=unreachable)
    service.answer("ListReleases", answer)
    result = await releasectl(service.socket, "history")
    assert (result.exit_code, result.stderr) == (
        0,
        "the audit log is damaged, see `releasectl audit verify`; unreadable and left out: 2 releases "
        f"({NAME})\n",
    )
    result = await releasectl(service.socket, "history", "--json")
    assert json.loads(result.stdout)["unreachable"] == unreachable


async def test_history_prints_a_table(service: ScriptedService) -> None:
    """Times are in ISO 8601 on a pipe; how to see more is a message."""
    service.answer("ListReleases", ListReleasesResponse(releases=[Story().release], next_page_token="next"))
    result = await releasectl(service.socket, "history", "shop")
    assert [line.split() for line in result.stdout.decode().splitlines()] == [
        ["RELEASE", "TARGET", "STATE", "CAUSE", "OUTCOME", "CREATED", "TOOK", "IMAGE"],
        [UUID_ONLY, "shop/live", "QUEUED", "-", "-", "2026-01-31T12:00:00Z", "-", "registry.example/shop:42"],
    ]
    assert result.stderr == "older ones: releasectl history shop --page-token next\n"
    assert service.requests[0].filter == 'application = "shop"'


async def test_history_as_json_is_one_object(service: ScriptedService) -> None:
    """A list is an object with its fields, also when all are empty."""
    service.answer(
        "ListReleases", ListReleasesResponse(), ListReleasesResponse(releases=[Release(name=NAME)])
    )
    empty = await releasectl(service.socket, "history", "--json")
    assert json.loads(empty.stdout) == {"releases": [], "next_page_token": "", "unreachable": []}
    one = await releasectl(service.socket, "history", "--json")
    assert [release["name"] for release in json.loads(one.stdout)["releases"]] == [NAME]


async def test_show(service: ScriptedService) -> None:
    """Either form of the name will do."""
    story, _ = a_success()
    service.answer("GetRelease", story.release)
    result = await releasectl(service.socket, "show", UUID_ONLY)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"release  {NAME}\ntarget   shop/live\n".encode())
    as_json = await releasectl(service.socket, "show", "--json", NAME)
    assert ParseDict(json.loads(as_json.stdout), Release()) == story.release
    assert {request.name for request in service.requests} == {NAME}


async def test_cancel(service: ScriptedService) -> None:
    """It returns after the request and says how to see the end."""
    service.answer("CancelRelease", Release(name=NAME, state=Release.STATE_RUNNING))
    result = await releasectl(service.socket, "cancel", NAME, "--reason", "wrong image")
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr == f"cancelling {NAME}; follow it with: releasectl watch {NAME}\n"
    assert service.requests[0].reason == "wrong image"


async def test_cancel_of_a_queued_release(service: ScriptedService) -> None:
    """It has ended with the request."""
    service.answer("CancelRelease", Release(name=NAME, state=Release.STATE_CANCELLED))
    result = await releasectl(service.socket, "cancel", NAME)
    assert result.stderr == f"cancelled {NAME}\n"
    as_json = await releasectl(service.socket, "cancel", NAME, "--json")
    assert json.loads(as_json.stdout)["state"] == "STATE_CANCELLED"


async def test_outcome(service: ScriptedService) -> None:
    """It is reported with its reason, and said to the person."""
    service.answer("ReportOutcome", Story("migrate").release)
    result = await releasectl(service.socket, "outcome", UUID_ONLY, "abandoned", "--reason", "health check")
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr == f"reported: {NAME} was abandoned\n"
    as_json = await releasectl(service.socket, "outcome", NAME, "DEPLOYED", "--json")
    assert ParseDict(json.loads(as_json.stdout), Release()) == Story("migrate").release
    assert service.requests == [
        ReportOutcomeRequest(name=NAME, outcome=OUTCOME_ABANDONED, reason="health check"),
        ReportOutcomeRequest(name=NAME, outcome=OUTCOME_DEPLOYED),
    ]


async def test_audit_verify_of_a_sound_log(service: ScriptedService) -> None:
    """Nothing on stdout, which is for problems."""
    service.answer("VerifyAudit", VerifyAuditResponse(event_count=12345))
    result = await releasectl(service.socket, "audit", "verify")
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr == "the audit log is sound: 12,345 events\n"


@pytest.mark.parametrize(
    ("extent", "text"),
    [
        (AuditExtent(first_sequence=760), "event 760"),
        (AuditExtent(first_sequence=476, output_count=3, output_since_sequence=480), "events 476 to 760"),
        (AuditExtent(first_sequence=1, missing_output_count=3), "events 1 to 760, without output"),
        (
            AuditExtent(first_sequence=1, output_count=1, missing_output_count=3, output_since_sequence=739),
            "events 1 to 760, output from event 739 on",
        ),
        (
            AuditExtent(first_sequence=1, output_count=1, missing_output_count=3),
            "events 1 to 760, without the output of 3",
        ),
    ],
)
def test_what_an_export_has_of_the_log(extent: AuditExtent, text: str) -> None:
    """A part of a log, or one without output, is not taken for all of it."""
    found = VerifyAuditResponse(head=Receipt(sequence=760), extent=extent)
    assert extent_text(found) == text


async def test_audit_verify_of_a_log_with_problems(service: ScriptedService) -> None:
    """All of them, each with its event where that is known; the exit code says it to scripts."""
    found = VerifyAuditResponse(
        problems=[
            AuditProblem(description="the database is damaged: Tree 2 page 3"),
            AuditProblem(description="events 5 to 6 are missing", sequence=5),
        ],
        event_count=7,
    )
    service.answer("VerifyAudit", found)
    result = await releasectl(service.socket, "audit", "verify")
    assert (result.exit_code, result.stderr) == (1, "")
    assert result.stdout == (
        b"log      the database is damaged: Tree 2 page 3\nevent 5  events 5 to 6 are missing\n"
    )
    as_json = await releasectl(service.socket, "audit", "verify", "--json")
    assert as_json.exit_code == 1
    assert ParseDict(json.loads(as_json.stdout), VerifyAuditResponse()) == found


async def test_a_long_problem_is_shown_in_brief(service: ScriptedService) -> None:
    """A schema that lacks everything is told name by name; the JSON has them all."""
    words = "of the schema, missing: " + ", ".join(["index releases_by_state"] * 80)
    service.answer("VerifyAudit", VerifyAuditResponse(problems=[AuditProblem(description=words)]))
    shown = (await releasectl(service.socket, "audit", "verify")).stdout.decode()
    assert shown == f"log  {words[:299]}… (all of it: --json)\n"
    as_json = await releasectl(service.socket, "audit", "verify", "--json")
    assert json.loads(as_json.stdout)["problems"][0]["description"] == words


async def test_status(service: ScriptedService) -> None:
    """As a table or as JSON."""
    service.answer("GetStatus", DaemonStatus(version="1.2.3", max_concurrent=16))
    result = await releasectl(service.socket, "status")
    assert result.stdout.startswith(b"released   1.2.3\n")
    as_json = await releasectl(service.socket, "status", "--json")
    assert json.loads(as_json.stdout)["max_concurrent"] == 16


def drain_progress(running: int, queued: int) -> DrainProgress:
    return DrainProgress(running_releases=running, queued_releases=queued)


async def test_drain_tells_how_far_it_is_and_exits_0(service: ScriptedService) -> None:
    """For a person on stderr; nothing is data."""
    service.stream(drain_progress(1, 1), drain_progress(0, 1), method="Drain")
    result = await releasectl(service.socket, "drain")
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr.splitlines() == [
        "draining: 1 release under way, 1 queued for the next start",
        "drained, 1 queued for the next start",
    ]


async def test_drain_as_json_lines(service: ScriptedService) -> None:
    """One for each change."""
    service.stream(drain_progress(1, 1), drain_progress(0, 1), method="Drain")
    result = await releasectl(service.socket, "drain", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"running_releases": 1, "queued_releases": 1},
        {"running_releases": 0, "queued_releases": 1},
    ]


@pytest.mark.parametrize("end", [(), (CONNECTION_LOST,)], ids=["end", "connection lost"])
async def test_a_drain_that_was_not_seen_to_finish_is_5(
    service: ScriptedService, end: Sequence[Refusal]
) -> None:
    """Whoever upgrades the daemon next must not take it for done."""
    service.stream(drain_progress(1, 0), *end, method="Drain")
    result = await releasectl(service.socket, "drain")
    assert result.exit_code == 5
    assert result.stderr.splitlines()[1].startswith("releasectl: ")


async def test_a_signal_stops_watching_the_drain(service: ScriptedService) -> None:
    """The drain goes on, and it is said how to come back."""
    service.stream(drain_progress(1, 0), asyncio.Event(), method="Drain")
    process = await start(service.socket, "drain", "--json")
    assert process.stdout is not None
    await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, stderr = await process.communicate()
    assert process.returncode == 130
    assert stderr == (
        b"stopped watching; the daemon goes on to finish and end. Come back with: releasectl drain\n"
    )
