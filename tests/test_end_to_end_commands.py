"""Release commands that no request names, typed in a shell: what runs, what is skipped, and what may fail."""

import json
import re
from collections.abc import Callable, Iterator

import pytest

from support.daemon import Daemon, running_daemon
from support.docker_engine import Engine

MakeImage = Callable[..., str]

DECLARED = [
    {"label": "Clear caches", "command": "echo cleared", "rollback": "./warm"},
    {"label": "self-test", "command": "echo broken; exit 3", "allow_failure": True, "timeout": "1m"},
]


@pytest.fixture(scope="module")
def daemon(engine: Engine) -> Iterator[Daemon]:
    with running_daemon(engine.url, "[releases]\nstop_grace = 1\n") as daemon:
        yield daemon


@pytest.fixture
def image(make_busybox_image: MakeImage) -> str:
    """An image that declares two commands."""
    return make_busybox_image(f"LABEL releasephase.commands={json.dumps(json.dumps(DECLARED))}")


def test_what_an_image_declares_is_run_and_shown(daemon: Daemon, image: str) -> None:
    """Nobody names the commands; what fails and may is told, and the release succeeds."""
    done = daemon.releasectl("run", "shop/live", image)
    assert done.returncode == 0
    assert done.stdout == (
        "===== docker release commands =====\n\n"
        "Running Clear caches...\n\ncleared\n\n"
        "Running self-test...\n\nbroken\n\n"
        "Self-test failed. The command ended with exit code 3. The release goes on.\n\n"
    )
    assert "commands: Clear caches (image), self-test (image)\n" in done.stderr
    (release,) = json.loads(daemon.releasectl("history", "--limit", "1", "--json").stdout)["releases"]
    shown = daemon.releasectl("show", release["name"]).stdout
    assert "\n1   Clear caches  IMAGE   SUCCEEDED  0     " in shown
    assert "\nClear caches  rollback: ./warm\nself-test     allow-failure\n" in shown
    follow = daemon.releasectl("logs", release["name"], "--follow", "--command", "self-test")
    assert (follow.returncode, follow.stdout) == (0, "broken\n")


def test_a_command_is_skipped_with_a_reason(daemon: Daemon, image: str) -> None:
    """The reason is in the log, in `show`, and where somebody asks for the output."""
    done = daemon.releasectl(
        *("run", "shop/live", image, "--skip", "Clear caches", "--reason", "the cache is down")
    )
    assert done.returncode == 0
    assert done.stdout.startswith(
        "===== docker release commands =====\n\n"
        "Skipping Clear caches: the cache is down.\n\n"
        "Running self-test...\n\n"
    )
    (release,) = json.loads(daemon.releasectl("history", "--limit", "1", "--json").stdout)["releases"]
    assert "\nClear caches  skipped: the cache is down\n" in daemon.releasectl("show", release["name"]).stdout
    lines = daemon.releasectl("logs", release["name"], "--command", "1")
    assert lines.stderr == "no output: Clear caches was skipped: the cache is down\n"


def test_skipping_what_is_not_there_fails(daemon: Daemon, image: str) -> None:
    """A misspelt label runs nothing; it can be found by its cause."""
    done = daemon.releasectl("run", "shop/live", image, "--skip", "Clear cache", "--reason", "x")
    assert done.returncode == 1
    assert done.stdout.startswith("===== docker release commands =====\n\nRelease failed. 'Clear cache' ")
    assert "Skipped:" not in done.stdout
    found = daemon.releasectl("history", "--cause", "commands_invalid", "--json").stdout
    (release,) = json.loads(found)["releases"]
    assert re.search(
        r"^commands +never known$", daemon.releasectl("show", release["name"]).stdout, re.MULTILINE
    )


def test_commands_of_a_request_may_fail_and_be_skipped(daemon: Daemon, busybox_image: str) -> None:
    """By their labels, as they stand on the command line."""
    done = daemon.releasectl(
        *(
            "run",
            "shop/live",
            busybox_image,
            "-c",
            "notify=exit 1",
            "-c",
            "migrate=true",
            "-c",
            "check=false",
        ),
        *(
            "--allow-failure",
            "notify",
            "--rollback",
            "migrate=./undo",
            "--skip",
            "check",
            "--reason",
            "later",
        ),
    )
    assert done.returncode == 0
    assert done.stdout == (
        "===== docker release commands =====\n\n"
        "Running notify...\n\n\n"
        "Notify failed. The command ended with exit code 1. The release goes on.\n\n"
        "Running migrate...\n\n\n"
        "Skipping check: later.\n\n"
    )
