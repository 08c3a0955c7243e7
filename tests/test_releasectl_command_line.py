"""Every verb of the command line as a process of its own, against a scripted service."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import IO
from uuid import UUID

import grpc
import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.text_format import Parse

from releasephase.v1.audit_service_pb2 import AuditProblem, VerifyAuditResponse
from releasephase.v1.daemon_service_pb2 import DaemonStatus, DrainProgress
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import OUTCOME_ABANDONED, OUTCOME_DEPLOYED, Release
from releasephase.v1.release_service_pb2 import (
    ListReleasesResponse,
    ReportOutcomeRequest,
    StartReleaseRequest,
)
from support.command_line import releasectl, start
from support.scripted_service import CONNECTION_LOST, Refusal, ScriptedService, serve
from support.story import NAME, Story, a_failure, a_success

UUID_ONLY = NAME.removeprefix("releases/")
FAILED_LOG = (
    b"===== docker release commands =====\n\nRunning migrate...\n\nTraceback\n\n"
    b"Migrate failed. Exit code 1.\nSkipped: check.\n"
)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ScriptedService]:
    async with serve(tmp_path / "released.sock") as service:
        yield service


@pytest.fixture
def full_disk() -> Iterator[IO[bytes]]:
    with open("/dev/full", "wb", buffering=0) as full:
        yield full


def script(service: ScriptedService, story: Story, events: Sequence[ReleaseEvent]) -> None:
    """Let the service start, stream and return one release."""
    service.answer("StartRelease", story.release)
    service.stream(*events)
    service.answer("GetRelease", story.release)


async def test_run_prints_the_log_and_exits_0(service: ScriptedService) -> None:
    """Data goes to stdout, messages to stderr."""
    script(service, *a_success())
    result = await releasectl(service.socket, "run", "shop/live", "shop:42", "-c", "migrate=./migrate")
    assert result.stdout == (
        b"===== docker release commands =====\n\nRunning migrate...\n\nApplying 0001_initial... OK\n\n"
        b"Running check...\n\nno issues\n\n"
    )
    assert result.stderr.splitlines() == [
        f"accepted as {NAME}",
        "preparing",
        "found registry.example/shop:42 (registry.example/shop@sha256:5678)",
        "created container shop-live-398f",
        "running",
        "succeeded",
    ]
    assert result.exit_code == 0


async def test_run_exits_1_when_the_release_failed(service: ScriptedService) -> None:
    """The deployment must not go on, and the log says why."""
    script(service, *a_failure())
    result = await releasectl(service.socket, "run", "shop/live", "shop:42")
    assert (result.exit_code, result.stdout) == (1, FAILED_LOG)
    assert result.stderr.endswith("failed: Exit code 1.\n")


async def test_run_exits_124_when_a_command_timed_out(service: ScriptedService) -> None:
    """A timeout can be told from a failure."""
    story = Story("migrate")
    events = [story.accepted(), story.started(0), story.failed("Too long.", 0, "COMMAND_TIMED_OUT")]
    script(service, story, events)
    assert (await releasectl(service.socket, "run", "shop/live", "shop:42")).exit_code == 124


async def test_run_exits_6_when_the_release_was_cancelled(service: ScriptedService) -> None:
    """A cancelled release can be told from one that failed."""
    story = Story("migrate")
    script(service, story, [story.accepted(), story.cancel_requested("why not"), story.cancelled()])
    result = await releasectl(service.socket, "run", "shop/live", "shop:42")
    assert result.exit_code == 6
    assert "cancel requested: why not\n" in result.stderr


async def test_run_passes_every_option(service: ScriptedService, tmp_path: Path) -> None:
    """What can be said in the contract can be said on the command line."""
    (tmp_path / "env").write_text("# stage\nSTAGE=test\nFILE=1\n")
    script(service, *a_success())
    result = await releasectl(
        service.socket,
        *("run", "shop/live", "registry.example/shop:42", "-c", "migrate=./migrate", "--command", "a=b=c"),
        *("--env", "STAGE=live", "-e", "FROM_CALLER", "--env", "NOT_SET"),
        *("--env-file", str(tmp_path / "env"), "--secret", "TOKEN=geheim", "--secret", "FROM_CALLER_TOO"),
        *("--network", "front", "--network", "back", "--volume", "/srv:/media:ro", "-v", "data:/data"),
        *("--memory", "512m", "--cpus", "1.5", "--pids", "100", "--user", "app:app", "--workdir", "/app"),
        *("--entrypoint", "/bin/tini --", "--timeout", "1m30s", "--release-timeout", "1h"),
        *("--pull", "always", "--registry-user", "robot", "--registry-password-stdin"),
        *("--request-id", "b7e4a2f0-0000-4000-8000-000000000000", "--label", "ticket=OPS-12"),
        *("--requested-by", "jane", "--on-busy", "reject", "--container", "command"),
        stdin=b"pass word\n",
        environ={"FROM_CALLER": "x", "FROM_CALLER_TOO": "y"},
    )
    assert result.exit_code == 0, result.stderr
    expected = """
        application: "shop" environment: "live" image: "registry.example/shop:42"
        commands { label: "migrate" line: "./migrate" timeout { seconds: 90 } }
        commands { label: "a" line: "b=c" timeout { seconds: 90 } }
        env { name: "STAGE" value: "live" } env { name: "FILE" value: "1" }
        env { name: "FROM_CALLER" value: "x" }
        env { name: "TOKEN" value: "geheim" secret: true }
        env { name: "FROM_CALLER_TOO" value: "y" secret: true }
        networks: "front" networks: "back"
        mounts { source: "/srv" target: "/media" read_only: true } mounts { source: "data" target: "/data" }
        resources { memory_bytes: 536870912 cpus: 1.5 pids: 100 }
        user: "app:app" working_dir: "/app" entrypoint { arguments: "/bin/tini" arguments: "--" }
        pull_policy: PULL_POLICY_ALWAYS registry_auth { username: "robot" password: "pass word" }
        release_timeout { seconds: 3600 } on_busy: ON_BUSY_REJECT
        request_id: "b7e4a2f0-0000-4000-8000-000000000000" requested_by: "jane"
        labels { key: "ticket" value: "OPS-12" } container_mode: CONTAINER_MODE_PER_COMMAND
    """
    assert service.requests[0] == Parse(expected, StartReleaseRequest())


async def test_run_mixes_lines_and_programs_in_the_order_given(service: ScriptedService) -> None:
    """Release commands run in the order in which they stand on the command line, whatever their kind."""
    script(service, *a_success())
    result = await releasectl(
        service.socket,
        *("run", "-x", "one=./one 'a b'", "-ctwo=./two", "shop/live", "--exec=three=./three", "shop:42"),
        *("-c", "four=./four", "-xfive=./five", "--timeout", "5s"),
    )
    assert result.exit_code == 0, result.stderr
    expected = """
        commands { label: "one" argv { arguments: "./one" arguments: "a b" } timeout { seconds: 5 } }
        commands { label: "two" line: "./two" timeout { seconds: 5 } }
        commands { label: "three" argv { arguments: "./three" } timeout { seconds: 5 } }
        commands { label: "four" line: "./four" timeout { seconds: 5 } }
        commands { label: "five" argv { arguments: "./five" } timeout { seconds: 5 } }
    """
    assert list(service.requests[0].commands) == list(Parse(expected, StartReleaseRequest()).commands)


async def test_run_without_options_leaves_the_defaults_to_the_daemon(service: ScriptedService) -> None:
    """Only a request_id is made up here."""
    script(service, *a_success())
    await releasectl(service.socket, "run", "shop/live", "shop:42")
    request = service.requests[0]
    assert UUID(request.request_id)
    request.request_id = ""
    assert request == StartReleaseRequest(application="shop", environment="live", image="shop:42")


async def test_run_takes_the_registry_password_from_the_environment(service: ScriptedService) -> None:
    """A password is never an argument: everybody on the host could read it."""
    script(service, *a_success())
    environ = {"RELEASECTL_REGISTRY_PASSWORD": "geheim"}
    await releasectl(
        service.socket, "run", "shop/live", "shop:42", "--registry-user", "robot", environ=environ
    )
    assert service.requests[0].registry_auth.password == "geheim"


async def test_run_detached_prints_the_name(service: ScriptedService) -> None:
    """The name is all that a script needs to come back."""
    service.answer("StartRelease", Release(name=NAME))
    result = await releasectl(service.socket, "run", "shop/live", "shop:42", "--detach")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{NAME}\n".encode(), "")


async def test_run_detached_as_json_prints_the_release(service: ScriptedService) -> None:
    """One object, as it was accepted."""
    service.answer("StartRelease", Release(name=NAME))
    result = await releasectl(service.socket, "run", "shop/live", "shop:42", "-d", "--json")
    assert json.loads(result.stdout)["name"] == NAME


async def test_run_survives_a_lost_connection(service: ScriptedService) -> None:
    """The log has no gap and nothing twice."""
    story, events = a_failure()
    service.answer("StartRelease", story.release)
    service.stream(*events[:4], CONNECTION_LOST)
    service.stream(*events[4:])
    result = await releasectl(service.socket, "run", "shop/live", "shop:42")
    assert (result.exit_code, result.stdout) == (1, FAILED_LOG)


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


async def test_history_prints_a_table(service: ScriptedService) -> None:
    """Times are in ISO 8601 on a pipe; how to see more is a message."""
    service.answer("ListReleases", ListReleasesResponse(releases=[Story().release], next_page_token="next"))
    result = await releasectl(service.socket, "history", "shop")
    assert [line.split() for line in result.stdout.decode().splitlines()] == [
        ["RELEASE", "TARGET", "STATE", "CAUSE", "OUTCOME", "CREATED", "TOOK", "IMAGE"],
        [UUID_ONLY, "shop/live", "QUEUED", "-", "-", "2026-01-31T12:00:00Z", "-", "registry.example/shop:42"],
    ]
    assert result.stderr == "older ones: --page-token next\n"
    assert service.requests[0].filter == 'application = "shop"'


async def test_history_as_json_is_one_object(service: ScriptedService) -> None:
    """A list is an object with its field and next_page_token, also when both are empty."""
    service.answer(
        "ListReleases", ListReleasesResponse(), ListReleasesResponse(releases=[Release(name=NAME)])
    )
    empty = await releasectl(service.socket, "history", "--json")
    assert json.loads(empty.stdout) == {"releases": [], "next_page_token": ""}
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


@pytest.mark.parametrize(
    ("refusal", "exit_code", "stderr"),
    [
        (Refusal(grpc.StatusCode.NOT_FOUND, "no such release"), 3, "releasectl: no such release\n"),
        (Refusal(grpc.StatusCode.PERMISSION_DENIED, "not yours"), 4, "releasectl: not yours\n"),
        (
            Refusal(grpc.StatusCode.UNAVAILABLE, "going down", "SHUTTING_DOWN"),
            5,
            "releasectl: going down\n",
        ),
        (Refusal(grpc.StatusCode.INTERNAL, "a \x1b[31mbug"), 1, "releasectl: a \\x1b[31mbug\n"),
        (
            Refusal(
                grpc.StatusCode.INVALID_ARGUMENT,
                violations=(("application", "is empty"), ("commands[1].timeout", "is negative")),
            ),
            2,
            "application: is empty\ncommands[1].timeout: is negative\n",
        ),
        (Refusal(grpc.StatusCode.INVALID_ARGUMENT, "bad token"), 2, "releasectl: bad token\n"),
    ],
    ids=lambda value: value.code.name if isinstance(value, Refusal) else "",
)
async def test_every_error_has_its_exit_code_and_a_readable_line(
    service: ScriptedService, refusal: Refusal, exit_code: int, stderr: str
) -> None:
    """A script sees the code, a person the reason, and nobody a traceback."""
    service.answer("GetRelease", refusal)
    result = await releasectl(service.socket, "show", NAME)
    assert (result.exit_code, result.stdout, result.stderr) == (exit_code, b"", stderr)


@pytest.mark.parametrize(
    "verb", [("status",), ("drain",), ("watch", NAME), ("logs", "-f", NAME), ("show", NAME)]
)
async def test_no_daemon_is_5(tmp_path: Path, verb: Sequence[str]) -> None:
    """The path and the reason are named, at once."""
    result = await releasectl(tmp_path / "none.sock", *verb)
    assert result.exit_code == 5
    assert (
        result.stderr == f"releasectl: no daemon answers on {tmp_path}/none.sock: No such file or directory\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "shop", "i"], "a target is written APPLICATION/ENVIRONMENT, such as shop/live"),
        (["run", "shop/live", "i", "-c", "./migrate"], "a command is written 'label=shell line'"),
        (["run", "shop/live", "i", "--timeout", "90"], "write 90s, 30m or 1h30m"),
        (["run", "shop/live", "i", "--memory", "much"], "write 512m or 2g"),
        (["run", "shop/live", "i", "--volume", "/media"], "SRC:DST or SRC:DST:ro"),
        (["run", "shop/live", "i", "--env", "=x"], "write NAME=VALUE or NAME"),
        (["run", "shop/live", "i", "--env-file", "/none"], "/none"),
        (["run", "shop/live", "i", "--entrypoint", "'"], "--entrypoint: No closing quotation"),
        (["run", "shop/live", "i", "--pids", "99999999999999999999"], "Value out of range"),
        (["run", "shop/live", "i", "--registry-user", "robot"], "RELEASECTL_REGISTRY_PASSWORD"),
        (["run", "shop/live", "i", "--registry-password-stdin"], "needs --registry-user"),
        (["run", "shop/live", b"\xff".decode(errors="surrogateescape")], "is not UTF-8"),
        (["watch", "shop/live"], "a release is written releases/UUID or UUID"),
        (["history", "a/b/c"], "write APP or APP/ENV"),
        (["history", "--since", "yesterday"], "neither an age nor a date"),
        (["history", "--state", "done"], "is not one of"),
        (["history", "--limit", "0"], "is not in the range"),
        (["outcome", UUID_ONLY, "live"], "is not one of"),
        (["unknown"], "No such command"),
    ],
)
async def test_wrong_usage_is_2(tmp_path: Path, arguments: Sequence[str], message: str) -> None:
    """What is expected is said, without asking the daemon."""
    result = await releasectl(tmp_path / "none.sock", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_watching_and_says_how_to_come_back(
    service: ScriptedService, number: signal.Signals
) -> None:
    """The release goes on: nothing but the watch is asked of the daemon."""
    story, events = a_success()
    script(service, story, [*events[:7], asyncio.Event()])  # type: ignore[list-item]
    process = await start(service.socket, "run", "shop/live", "shop:42")
    assert process.stdout is not None
    await process.stdout.readuntil(b"Applying 0001_initial... OK\n")
    process.send_signal(number)
    _, stderr = await process.communicate()
    assert process.returncode == 130
    assert stderr.decode().splitlines()[-1] == (
        f"stopped watching; the release goes on. Come back with: releasectl watch {NAME}"
    )
    assert [type(request).__name__ for request in service.requests] == [
        "StartReleaseRequest",
        "WatchReleaseRequest",
    ]


async def test_a_signal_before_the_release_was_accepted_says_where_to_look(service: ScriptedService) -> None:
    """Nobody knows then whether it was accepted."""
    service.hang("StartRelease")
    process = await start(service.socket, "run", "shop/live", "shop:42")
    await service.asked.wait()
    process.send_signal(signal.SIGINT)
    _, stderr = await process.communicate()
    assert process.returncode == 130
    assert stderr == b"interrupted; if it was accepted, you find it with: releasectl history shop/live\n"


async def test_a_reader_that_leaves_is_no_error(service: ScriptedService) -> None:
    """`releasectl logs … | head` ends quietly."""
    story = Story("talk")
    outputs = [story.output(0, b"x" * 60000 + b"\n") for _ in range(50)]
    script(
        service, story, [story.accepted(), story.started(0), *outputs, story.finished(0), story.succeeded()]
    )
    process = await start(service.socket, "logs", "-f", NAME)
    assert process.stdout is not None
    assert process.stderr is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert await process.stderr.read() == b""
    assert await process.wait() == 141


async def test_output_that_can_not_be_written_is_an_error(
    service: ScriptedService, full_disk: IO[bytes]
) -> None:
    """A full disk is told in one line, and is not taken for a success."""
    service.answer("GetRelease", Story().release)
    result = await releasectl(service.socket, "show", NAME, stdout=full_disk)
    assert (result.exit_code, result.stderr) == (1, "releasectl: No space left on device\n")


async def test_a_daemon_that_stops_telling_is_not_a_success(service: ScriptedService) -> None:
    """A stream that ends before the release did has no result."""
    story, events = a_success()
    script(service, story, events[:5])
    result = await releasectl(service.socket, "watch", NAME)
    assert result.exit_code == 5
    assert "stopped telling" in result.stderr


async def test_help_loads_neither_grpc_nor_rich() -> None:
    """It answers at once."""
    code = (
        "import sys, releasectl.cli as cli; cli.commands.main(['--help'], standalone_mode=False);"
        "print(sorted({'grpc', 'rich', 'google.protobuf', 'asyncio'} & set(sys.modules)))"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    stdout, _ = await process.communicate()
    assert stdout.splitlines()[-1] == b"[]"


async def test_version(tmp_path: Path) -> None:
    """It is that of the distribution."""
    result = await releasectl(tmp_path / "none.sock", "--version")
    assert result.stdout.decode() == f"releasectl {version('releasephase')}\n"
