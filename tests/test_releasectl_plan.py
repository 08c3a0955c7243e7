"""`releasectl plan` as a process of its own, against a scripted service: what a release would be."""

import json
import re

import grpc
import pytest
from google.protobuf.text_format import Parse

from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import StartReleaseRequest
from support.command_line import releasectl, terminal
from support.scripted_service import Refusal, ScriptedService

PLAN = """
    application: "shop" environment: "live" image: "registry.example/shop:42" state: STATE_QUEUED
    image_digest: "registry.example/shop@sha256:5678" image_id: "sha256:1234" queue_position: 2
    commands_from: COMMANDS_FROM_SETTINGS lock_groups: "database" lock_groups: "cache"
    environment_names: "STAGE" networks: "front" request_id: "b7e4a2f0-0000-4000-8000-000000000000"
    resources { memory_bytes: 536870912 cpus: 1.5 pids: 100 } requested_by: "jane"
    labels { key: "ticket" value: "OPS-12" }
    expected_duration { seconds: 100 }
    command_runs {
        label: "migrate" line: "./manage.py migrate" source: SOURCE_IMAGE state: STATE_PENDING
        timeout { seconds: 600 } expected_duration { seconds: 90 } rollback: "./manage.py undo"
    }
    command_runs {
        index: 1 label: "self-test" argv { arguments: "./test" arguments: "a b" } source: SOURCE_SETTINGS
        timeout { seconds: 1800 } state: STATE_SKIPPED skip_reason: "done by hand"
    }
    command_runs {
        index: 2 label: "notify" line: "./notify" source: SOURCE_SETTINGS state: STATE_PENDING
        timeout { seconds: 1800 } expected_duration { seconds: 10 } allow_failure: true
    }
"""

TEXT = """\
target        shop/live
expected      1m40s
queue         it would wait, position 2
lock groups   database, cache
image         registry.example/shop:42
digest        registry.example/shop@sha256:5678
image id      sha256:1234
requested by  jane
labels        ticket=OPS-12
environment   STAGE
networks      front
limits        512 MiB memory, 1.5 cpus, 100 pids

NO  COMMAND    SOURCE    TIMEOUT  EXPECTED  LINE
1   migrate    IMAGE     10m      1m30s     ./manage.py migrate
2   self-test  SETTINGS  30m      SKIPPED   ["./test", "a b"]
3   notify     SETTINGS  30m      10s       ./notify

migrate    rollback: ./manage.py undo
self-test  skipped: done by hand
notify     allow-failure
"""


def a_plan(text: str = "") -> Release:
    """A plan as the daemon answers with it."""
    plan = f'application: "shop" environment: "live" image: "shop:42" state: STATE_QUEUED {text}'
    return Parse(plan, Release())


async def fields_of(service: ScriptedService, plan: Release) -> dict[str, str]:
    """What is said of a plan above its commands."""
    service.answer("StartRelease", plan)
    result = await releasectl(service.socket, "plan", "shop/live", "shop:42")
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.decode().split("\n\n")[0].splitlines()
    return {name: value.strip() for name, value in (line.split("  ", 1) for line in lines)}


async def test_plan_shows_all_that_would_be(service: ScriptedService) -> None:
    """In which order, from where, how long, what is special; nothing is told on stderr."""
    service.answer("StartRelease", Parse(PLAN, Release()))
    result = await releasectl(service.socket, "plan", "shop/live", "registry.example/shop:42")
    assert result.stdout.decode() == TEXT
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(service.requests) == 1
    assert service.requests[0].validate_only


async def test_plan_tells_how_long_all_of_it_may_take(service: ScriptedService) -> None:
    """Of a release that has a limit as a whole."""
    fields = await fields_of(service, a_plan("release_timeout { seconds: 5400 }"))
    assert fields["release timeout"] == "1h30m"


async def test_plan_passes_the_options_of_run(service: ScriptedService) -> None:
    """The line that runs it also plans it: options are read in the same way, whatever their order."""
    service.answer("StartRelease", a_plan())
    result = await releasectl(
        service.socket,
        *("plan", "-x", "one=./one 'a b'", "shop/live", "-ctwo=./two", "shop:42", "--timeout", "5s"),
        *("--skip", "two", "--reason", "later", "--like", "shop-web-1", "--on-busy", "reject"),
        *("--env", "A=1", "--secret", "B=2", "--volume", "data:/data", "--memory", "512m"),
        *("--pull", "always"),
        *("--request-id", "b7e4a2f0-0000-4000-8000-000000000000", "--label", "ticket=OPS-12"),
    )
    assert result.exit_code == 0, result.stderr
    expected = """
        application: "shop" environment: "live" image: "shop:42" validate_only: true
        commands { label: "one" argv { arguments: "./one" arguments: "a b" } timeout { seconds: 5 } }
        commands { label: "two" line: "./two" timeout { seconds: 5 } }
        skip_labels: "two" skip_reason: "later" like_container: "shop-web-1" on_busy: ON_BUSY_REJECT
        env { name: "A" value: "1" } env { name: "B" value: "2" secret: true }
        mounts { source: "data" target: "/data" } resources { memory_bytes: 536870912 }
        pull_policy: PULL_POLICY_ALWAYS request_id: "b7e4a2f0-0000-4000-8000-000000000000"
        labels { key: "ticket" value: "OPS-12" }
    """
    assert service.requests[0] == Parse(expected, StartReleaseRequest())


async def test_json_is_the_answer_as_it_came(service: ScriptedService) -> None:
    """One object, remarks and all."""
    service.answer("StartRelease", Parse(PLAN + 'remarks: "who knows"', Release()))
    result = await releasectl(service.socket, "plan", "shop/live", "shop:42", "--json")
    plan = json.loads(result.stdout)
    assert (plan["name"], plan["remarks"], plan["expected_duration"]) == ("", ["who knows"], "100s")
    assert [run["label"] for run in plan["command_runs"]] == ["migrate", "self-test", "notify"]
    assert (result.exit_code, result.stderr) == (0, "")


async def test_remarks_come_last(service: ScriptedService) -> None:
    """What can't be told belongs to the plan; control characters in it are harmless."""
    service.answer("StartRelease", a_plan('remarks: "the registry said \\033[2J" remarks: "and more"'))
    result = await releasectl(service.socket, "plan", "shop/live", "shop:42")
    *_, remarks = result.stdout.decode().split("\n\n")
    assert remarks == "remark  the registry said \\x1b[2J\nremark  and more\n"
    assert result.exit_code == 0


@pytest.mark.parametrize(
    ("plan", "name", "value"),
    [
        ("", "queue", "it would start at once"),
        ("queue_position: 3", "queue", "it would wait, position 3"),
        ('image_digest: "shop@sha256:5"', "image id", "not known: it would be pulled"),
        ("expected_duration {}", "expected", "0s"),
        ("command_runs { state: STATE_PENDING }", "expected", "not known: 1 command has not succeeded here"),
        (
            "command_runs { state: STATE_SKIPPED } command_runs { state: STATE_PENDING } command_runs {}",
            "expected",
            "not known: 2 commands have not succeeded here",
        ),
        (
            'command_runs { expected_duration {} } commands_from: COMMANDS_FROM_SETTINGS remarks: "pulled"',
            "expected",
            "not known: there may be more commands",
        ),
        (
            'commands_from: COMMANDS_FROM_SETTINGS remarks: "pulled"',
            "commands",
            "not known: see the remarks",
        ),
        (
            "commands_from: COMMANDS_FROM_SETTINGS expected_duration {}",
            "commands",
            "none: neither the image nor the settings have a command that runs in this environment",
        ),
    ],
)
async def test_what_is_not_known_says_why(service: ScriptedService, plan: str, name: str, value: str) -> None:
    """An empty field would not tell nothing from something unknown."""
    assert (await fields_of(service, a_plan(plan)))[name] == value


async def test_a_release_that_skips_all_its_commands(service: ScriptedService) -> None:
    """It waits for nothing and needs no image."""
    plan = a_plan('command_runs { label: "a" state: STATE_SKIPPED skip_reason: "x" } expected_duration {}')
    plan.state = Release.STATE_SUCCEEDED
    fields = await fields_of(service, plan)
    assert fields["queue"] == "it would succeed at once: all its commands are skipped"


async def test_all_that_the_policy_refuses_is_told(service: ScriptedService) -> None:
    """As `run` tells it: a line for each field, and exit code 4."""
    refusal = Refusal(
        grpc.StatusCode.PERMISSION_DENIED,
        reason="POLICY_VIOLATION",
        violations=(("networks[0]", "not allowed"), ("mounts[0].source", "never mounted")),
    )
    service.answer("StartRelease", refusal)
    for verb in ("plan", "run"):
        result = await releasectl(service.socket, verb, "shop/live", "shop:42")
        assert (result.exit_code, result.stdout) == (4, b"")
        assert result.stderr == "networks[0]: not allowed\nmounts[0].source: never mounted\n"


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal(grpc.StatusCode.FAILED_PRECONDITION, "a label is missing", "COMMANDS_INVALID"), 1),
        (Refusal(grpc.StatusCode.ABORTED, "shop/live is busy", "TARGET_BUSY"), 1),
        (Refusal(grpc.StatusCode.UNAVAILABLE, "no engine answers", "ENGINE_UNAVAILABLE"), 5),
    ],
)
async def test_a_refusal_is_told_in_the_daemons_words(
    service: ScriptedService, refusal: Refusal, code: int
) -> None:
    """A release that would fail for what its image declares is refused beforehand, with the place."""
    service.answer("StartRelease", refusal)
    result = await releasectl(service.socket, "plan", "shop/live", "shop:42")
    assert (result.exit_code, result.stdout) == (code, b"")
    assert refusal.message in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("shop", "shop:42"), "APP/ENV"),
        (("shop/live", "shop:42", "--detach"), "--detach"),
        (("shop/live", "shop:42", "--skip", "a"), "--reason"),
    ],
)
async def test_wrong_usage_asks_nobody(
    service: ScriptedService, arguments: tuple[str, ...], message: str
) -> None:
    """What can't be meant is told before the daemon is asked."""
    result = await releasectl(service.socket, "plan", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert service.requests == []


@pytest.mark.parametrize("columns", [50, 200])
async def test_commands_fit_a_terminal(service: ScriptedService, columns: int) -> None:
    """On a narrow one where a command comes from gives way to what runs, and how long."""
    service.answer("StartRelease", Parse(PLAN, Release()))
    async with terminal(service.socket, "plan", "shop/live", "shop:42", columns=columns) as screen:
        seen = re.sub(r"\x1b\[[0-9;]*m|\r", "", await screen.read_to_end())
    (heading,) = [line for line in seen.splitlines() if line.startswith("NO ")]
    wide = ["NO", "COMMAND", "SOURCE", "TIMEOUT", "EXPECTED", "LINE"]
    assert heading.split() == (wide if columns == 200 else ["NO", "COMMAND", "TIMEOUT", "EXPECTED", "LINE"])
    (row,) = [line for line in seen.splitlines() if line.startswith("1 ")]
    assert len(row) <= columns
