"""`releasectl run` as a process of its own, against a scripted service."""

import json
from pathlib import Path
from uuid import UUID

import pytest
from google.protobuf.text_format import Parse

from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import (
    StartReleaseRequest,
)
from support.command_line import releasectl
from support.scripted_service import CONNECTION_LOST, ScriptedService, script
from support.story import NAME, Story, a_failure, a_success

FAILED_LOG = (
    b"===== docker release commands =====\n\nRunning migrate...\n\nTraceback\n\n"
    b"Migrate failed. Exit code 1.\nSkipped: check.\n"
)


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
        "found registry.example/shop:42 (digest registry.example/shop@sha256:5678)",
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
        *("--allow-failure", "a", "--rollback", "migrate=./undo --to=1", "--skip", "a", "--skip", "b"),
        *("--reason", "done by hand", "--like", "shop-web-1"),
        stdin=b"pass word\n",
        environ={"FROM_CALLER": "x", "FROM_CALLER_TOO": "y"},
    )
    assert result.exit_code == 0, result.stderr
    expected = """
        application: "shop" environment: "live" image: "registry.example/shop:42"
        commands { label: "migrate" line: "./migrate" timeout { seconds: 90 } rollback: "./undo --to=1" }
        commands { label: "a" line: "b=c" timeout { seconds: 90 } allow_failure: true }
        skip_labels: "a" skip_labels: "b" skip_reason: "done by hand" like_container: "shop-web-1"
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


@pytest.mark.parametrize("verb", ["run", "plan"])
async def test_like_no_container_is_wrong_usage(service: ScriptedService, verb: str) -> None:
    """A variable of a script that is empty must not let commands run without what they need."""
    result = await releasectl(service.socket, verb, "shop/live", "shop:42", "--like", "")
    assert result.exit_code == 2
    assert "--like names no container: give the name or id of one, or leave it out" in result.stderr
    assert service.requests == []


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
