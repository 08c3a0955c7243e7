"""What the command line says of rollbacks, against a scripted service, and once with the whole daemon."""

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from releasectl.tables import history_table
from releasephase.v1.release_event_pb2 import ReleaseEvent
from releasephase.v1.release_pb2 import OUTCOME_ABANDONED, Release
from releasephase.v1.release_service_pb2 import (
    EnvironmentVariable,
    ListReleasesResponse,
    ReportOutcomeRequest,
)
from support.command_line import releasectl
from support.docker_engine import Engine
from support.process import DaemonProcess, daemon_in_memory
from support.scripted_service import CONNECTION_LOST, Refusal, ScriptedService
from support.story import NAME, Story, a_failure

ROLLBACK = "releases/01939d3b-0000-7000-8000-000000000002"
FAILED_LOG = (
    b"===== docker release commands =====\n\nRunning migrate...\n\nTraceback\n\n"
    b"Migrate failed. Exit code 1.\nSkipped: check.\n"
)
HEADING = b"===== rollback of docker release commands =====\n\n"


def a_rollback(*, succeeds: bool = True) -> list[ReleaseEvent]:
    """The events of the release that undoes what succeeded."""
    story = Story("Roll back: migrate")
    story.release.name = ROLLBACK
    story.release.rollback_of = NAME
    events = [story.accepted(), story.preparing(), story.running(), story.started(0)]
    if succeeds:
        return [*events, story.finished(0, "SUCCEEDED", exit_code=0), story.succeeded()]
    return [*events, story.finished(0, "FAILED", exit_code=1), story.failed("Exit code 1.", 0)]


def a_failure_to_undo() -> tuple[Story, list[ReleaseEvent]]:
    """The story of a release that fails and has a command that can be undone."""
    story, events = a_failure()
    events[0].accepted.release.command_runs[0].rollback = "./undo"
    return story, list(events)


def script_both(service: ScriptedService, *, succeeds: bool = True) -> None:
    """Let a release fail, and be rolled back."""
    story, events = a_failure_to_undo()
    story.release.rollback = ROLLBACK
    service.answer("StartRelease", story.release)
    service.answer("GetRelease", story.release)
    service.stream(*events)
    service.stream(*a_rollback(succeeds=succeeds))


@pytest.mark.parametrize("verb", [("run", "shop/live", "shop:42"), ("watch", NAME)])
async def test_rollback_is_followed_behind_the_failure(service: ScriptedService, verb: list[str]) -> None:
    """In the same form under its own heading; the exit code is that of the release."""
    script_both(service)
    result = await releasectl(service.socket, *verb)
    assert result.exit_code == 1
    assert result.stdout == FAILED_LOG + HEADING + b"Running Roll back: migrate...\n\n\n"
    messages = result.stderr.splitlines()
    assert f"{NAME} is rolled back by {ROLLBACK}" in messages
    assert messages[-1] == f"{NAME} was rolled back"


async def test_rollback_that_fails_is_said_so(service: ScriptedService) -> None:
    """With where to look, and how to go on."""
    script_both(service, succeeds=False)
    result = await releasectl(service.socket, "run", "shop/live", "shop:42")
    assert result.exit_code == 1
    assert result.stdout.endswith(b"Roll back: migrate failed. Exit code 1.\n")
    assert result.stderr.splitlines()[-1] == (
        f"{NAME} was not rolled back as a whole; see what was: releasectl show {ROLLBACK}; "
        f"to go on with it: releasectl retry {ROLLBACK}"
    )


async def test_rollback_as_json_lines(service: ScriptedService) -> None:
    """Its events follow those of the release."""
    script_both(service)
    result = await releasectl(service.socket, "watch", NAME, "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert len(lines) == len(a_failure()[1]) + len(a_rollback())
    assert lines[-1]["state_changed"]["state"] == "STATE_SUCCEEDED"


async def test_daemon_that_goes_leaves_the_result_known(service: ScriptedService) -> None:
    """The release has failed, whatever becomes of its rollback."""
    story, events = a_failure_to_undo()
    service.answer("StartRelease", story.release)
    service.stream(*events)
    service.answer("GetRelease", CONNECTION_LOST)
    result = await releasectl(service.socket, "run", "shop/live", "shop:42")
    assert (result.exit_code, result.stdout) == (1, FAILED_LOG)
    assert "releasectl: " in result.stderr.splitlines()[-1]


async def test_outcome_that_rolls_back(service: ScriptedService) -> None:
    """Values are sent with it; the person is told which release it is."""
    story = Story("migrate")
    story.release.rollback = ROLLBACK
    service.answer("ReportOutcome", story.release)
    result = await releasectl(
        service.socket, "outcome", NAME, "abandoned", "--run-rollback", "-e", "A=1", "--secret", "B=2"
    )
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr.splitlines() == [
        f"reported: {NAME} was abandoned",
        f"its rollback is {ROLLBACK}; follow that with: releasectl watch {ROLLBACK}",
    ]
    variables = [
        EnvironmentVariable(name="A", value="1"),
        EnvironmentVariable(name="B", value="2", secret=True),
    ]
    assert service.requests == [
        ReportOutcomeRequest(name=NAME, outcome=OUTCOME_ABANDONED, run_rollback=True, env=variables)
    ]


async def test_outcome_with_nothing_to_roll_back(service: ScriptedService) -> None:
    """It is said, and no failure."""
    service.answer("ReportOutcome", Story("migrate").release)
    result = await releasectl(service.socket, "outcome", NAME, "abandoned", "--run-rollback")
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (0, "there is nothing to roll back")


async def test_outcome_that_can_t_be_rolled_back_any_more(service: ScriptedService) -> None:
    """The daemon's words."""
    refusal = Refusal(grpc.StatusCode.FAILED_PRECONDITION, "there was another one", "NEWER_RELEASE")
    service.answer("ReportOutcome", refusal)
    result = await releasectl(service.socket, "outcome", NAME, "abandoned", "--run-rollback")
    assert (result.exit_code, result.stderr) == (1, "releasectl: there was another one\n")


async def test_diff_of_one_release_passes_over_rollbacks(service: ScriptedService) -> None:
    """They succeed, too, but run other commands."""
    newer, older = Release(name=NAME), Release(name="releases/older")
    service.answer("GetRelease", newer)
    rollback = Release(name=ROLLBACK, rollback_of="releases/x")
    service.answer(
        "ListReleases",
        ListReleasesResponse(releases=[rollback], next_page_token="next"),
        ListReleasesResponse(releases=[older]),
    )
    result = await releasectl(service.socket, "diff", NAME, "--json")
    assert json.loads(result.stdout)["before"]["name"] == "releases/older"
    assert service.requests[-1].page_token == "next"


def test_history_tells_rollbacks_from_releases() -> None:
    """They are of the same target, and may well succeed."""
    releases = [Release(state=Release.STATE_SUCCEEDED, rollback_of=each) for each in ("", NAME)]
    rows = history_table(releases, lambda time: "now").rows
    assert [row[2] for row in rows] == ["SUCCEEDED", "SUCCEEDED (rollback)"]


@pytest.fixture
def daemon(engine: Engine) -> Iterator[DaemonProcess]:
    with daemon_in_memory(engine.url) as daemon:
        yield daemon


def test_from_the_shell_to_the_engine(daemon: DaemonProcess, busybox_image: str, tmp_path: Path) -> None:
    """A release fails, is rolled back and tried again; another is abandoned."""
    commands = ["-c", "a=echo +a >> /m/marks", "--rollback", "a=echo -a >> /m/marks", "-v", f"{tmp_path}:/m"]
    target = ["run", "shop/live", busybox_image, "--secret", "WORD=hidden-value"]
    failed = daemon.releasectl(*target, *commands, "-c", "b=test -e /m/b")
    assert failed.returncode == 1, failed.stderr
    assert HEADING.decode() + "Running Roll back: a...\n" in failed.stdout
    (name, *_) = (line.rpartition(" ")[2] for line in failed.stderr.splitlines() if "accepted as" in line)
    (tmp_path / "b").touch()
    again = daemon.releasectl("retry", name, "--secret", "WORD=hidden-value")
    assert again.returncode == 0, again.stderr
    (second,) = (line.rpartition(" ")[2] for line in again.stderr.splitlines() if "accepted as" in line)
    assert json.loads(daemon.releasectl("show", second, "--json").stdout)["retry_of"] == name
    refused = daemon.releasectl("outcome", second, "abandoned", "--run-rollback")
    assert (refused.returncode, refused.stderr) == (
        2,
        "--env or --secret: must have WORD again: the values of variables are stored nowhere\n",
    )
    abandon = ["outcome", second, "abandoned", "--run-rollback", "--secret", "WORD=hidden-value"]
    reported = daemon.releasectl(*abandon)
    assert reported.returncode == 0, reported.stderr
    rollback = reported.stderr.split()[-1]
    assert daemon.releasectl("watch", rollback).returncode == 0
    assert "(rollback)" in daemon.releasectl("history").stdout
    assert (tmp_path / "marks").read_text().split() == ["+a", "-a", "+a", "-a"]
