"""`releasectl diff` and `outcome` with the whole daemon on a real engine."""

import json
from collections.abc import Iterator

import pytest

from releasephase.v1.release_pb2 import Release, Resources
from releasephase.v1.release_service_pb2 import EnvironmentVariable, ReleaseCommand
from support.app import release_request
from support.docker_engine import Engine
from support.process import DaemonProcess, daemon_in_memory

PASSWORD = "hunter2hunter2"


@pytest.fixture
def daemon(engine: Engine) -> Iterator[DaemonProcess]:
    with daemon_in_memory(engine.url) as daemon:
        yield daemon


def run(daemon: DaemonProcess, image: str, *commands: tuple[str, str], **values: str) -> Release:
    """A release that has ended, of commands by their labels, with the values of variables."""
    env = [EnvironmentVariable(name=name, value=value) for name, value in values.items()]
    named = [ReleaseCommand(label=label, line=line) for label, line in commands]
    request = release_request(image=image, env=env, commands=named)
    request.resources.CopyFrom(Resources(pids=64 if len(commands) == 2 else 32))
    return daemon.outcome(daemon.stub.StartRelease(request).name).release


def test_what_changed_since_it_worked(daemon: DaemonProcess, busybox_image: str) -> None:
    """The release that failed, compared with the last one before it that succeeded; no value is told."""
    migrate, check = ("migrate", "true"), ("check", "true")
    worked = run(daemon, busybox_image, migrate, check, PASSWORD=PASSWORD, MODE="quick")
    run(daemon, busybox_image, ("migrate", "exit 9"), PASSWORD=PASSWORD)
    failed = run(daemon, busybox_image, ("migrate", "exit 3"), PASSWORD=PASSWORD, MODE="thorough", NEW="1")
    answer = daemon.releasectl("diff", failed.name, "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert (found["before"]["name"], found["after"]["name"]) == (worked.name, failed.name)
    assert [each["field"] for each in found["fields"]] == ["resources", "state", "failure"]
    assert found["environment"] == {
        "added": ["NEW"],
        "removed": [],
        "changed": ["MODE"],
        "unchanged": ["PASSWORD"],
        "unknown": [],
    }
    assert {each["label"]: each["changes"] for each in found["commands"]} == {
        "migrate": ["command"],
        "check": ["removed"],
    }
    shown = daemon.releasectl("diff", worked.name, failed.name).stdout
    assert "- SUCCEEDED\n" in shown
    assert "+ FAILED COMMAND_FAILED\n" in shown
    assert PASSWORD not in answer.stdout + shown


def test_outcome_on_the_command_line(daemon: DaemonProcess) -> None:
    """It is told by `show` and `history`; another one is refused with 1."""
    name = daemon.stub.StartRelease(release_request(image="shop:1")).name
    assert daemon.releasectl("outcome", name, "abandoned", "--reason", "health check").returncode == 0
    again = daemon.releasectl("outcome", name, "deployed")
    assert (again.returncode, "an outcome is reported once" in again.stderr) == (1, True)
    assert "ABANDONED by root (uid 0)" in daemon.releasectl("show", name).stdout
    assert "ABANDONED" in daemon.releasectl("history").stdout
