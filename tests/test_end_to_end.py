"""The command line, the daemon and the engine together: what an operator types, and what comes of it."""

import json
import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command_line import releasectl, terminal
from support.daemon import BIN, Daemon, running_daemon
from support.docker_engine import Engine


@pytest.fixture(scope="module")
def daemon(engine: Engine) -> Iterator[Daemon]:
    with running_daemon(engine.url, "[releases]\nstop_grace = 1\n") as daemon:
        yield daemon


def background(daemon: Daemon, *arguments: str) -> subprocess.Popen[str]:
    """Start releasectl and go on."""
    return subprocess.Popen(
        [BIN / "releasectl", *arguments],
        env=os.environ | {"RELEASED_SOCKET": str(daemon.socket)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def show(daemon: Daemon, name: str) -> dict[str, str]:
    release: dict[str, str] = json.loads(daemon.releasectl("show", name, "--json").stdout)
    return release


def test_the_deployment_log_of_a_release_that_succeeds(daemon: Daemon, busybox_image: str) -> None:
    """Heading, labels, and the output as it came, in the form that people know; exit code 0."""
    done = daemon.releasectl(
        "run", "shop/live", busybox_image, "-c", "migrate=printf 'one\\ntwo'", "-c", "check=echo fine >&2"
    )
    assert done.returncode == 0
    assert done.stdout == (
        "===== docker release commands =====\n\n"
        "Running migrate...\n\none\ntwo\n\n"
        "Running check...\n\nfine\n\n"
    )


def test_the_deployment_log_of_a_release_that_fails(daemon: Daemon, busybox_image: str) -> None:
    """Which command failed and why, and what did not run; exit code 1."""
    done = daemon.releasectl(
        *("run", "shop/live", busybox_image),
        *("-c", "migrate=echo up", "-c", "self-test=echo down; exit 3", "-c", "notice=echo never"),
    )
    assert done.returncode == 1
    assert done.stdout == (
        "===== docker release commands =====\n\n"
        "Running migrate...\n\nup\n\n"
        "Running self-test...\n\ndown\n\n"
        "Self-test failed. The command ended with exit code 3.\n"
        "Skipped: notice.\n"
    )


def test_an_image_without_a_shell_runs_programs(daemon: Daemon, shell_less_image: str) -> None:
    """The message that a shell line gets says what to do, and doing so helps."""
    run = ("run", "shop/live", shell_less_image)
    refused = daemon.releasectl(*run, "-c", "check=cat /etc/hostname")
    assert refused.returncode == 1
    assert "`--container command` with `--exec`" in refused.stdout
    done = daemon.releasectl(
        *run, "--container", "command", "-x", "check=cat /proc/self/comm", "-x", "no='false'"
    )
    assert done.returncode == 1
    assert done.stdout == (
        "===== docker release commands =====\n\n"
        "Running check...\n\ncat\n\n"
        "Running no...\n\n\n"
        "No failed. The command ended with exit code 1.\n"
    )


def test_a_timeout_has_an_exit_code_of_its_own(daemon: Daemon, busybox_image: str) -> None:
    """124, as timeout(1) has it."""
    done = daemon.releasectl("run", "shop/live", busybox_image, "--timeout", "1s", "-c", "wait=sleep 1000")
    assert done.returncode == 124
    assert "Wait failed. The command exceeded its timeout of 1s.\n" in done.stdout


def test_bad_input_is_one_line_for_each_field(daemon: Daemon) -> None:
    """Exit code 2, and nothing is stored."""
    before = daemon.releasectl("history", "--json").stdout
    done = daemon.releasectl("run", "Shop/live", "image:1:2", "-c", "migrate=true", "--network", "../x")
    assert (done.returncode, done.stdout) == (2, "")
    fields = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert {"application", "image", "networks[0]"} <= set(fields)
    assert daemon.releasectl("history", "--json").stdout == before


def test_cancelling_from_elsewhere(daemon: Daemon, busybox_image: str) -> None:
    """Whoever runs or watches the release ends with 6."""
    name = daemon.releasectl(
        "run", "shop/live", busybox_image, "--detach", "-c", "wait=sleep 1000"
    ).stdout.strip()
    watching = background(daemon, "watch", name)
    assert daemon.releasectl("cancel", name, "--reason", "wrong version").returncode == 0
    output, _ = watching.communicate()
    assert watching.returncode == 6
    assert "Release cancelled: wrong version\n" in output


def test_ctrl_c_stops_watching_and_not_the_release(
    daemon: Daemon, busybox_image: str, tmp_path: Path
) -> None:
    """130, with the words to come back; the release goes on to its end."""
    line = "echo up; until [ -e /gate/open ]; do sleep 0.05; done"
    running = background(
        daemon, "run", "shop/live", busybox_image, "--volume", f"{tmp_path}:/gate", "-c", f"wait={line}"
    )
    assert running.stdout is not None
    while running.stdout.readline() != "up\n":
        pass
    running.send_signal(signal.SIGINT)
    _, messages = running.communicate()
    assert running.returncode == 130
    (hint,) = [line for line in messages.splitlines() if "releasectl watch releases/" in line]
    name = next(word for word in hint.split() if word.startswith("releases/"))
    assert show(daemon, name)["state"] == "STATE_RUNNING"
    (tmp_path / "open").touch()
    assert daemon.releasectl("watch", name).returncode == 0


async def test_output_can_not_command_a_terminal(daemon: Daemon, busybox_image: str) -> None:
    """Bytes go to the audit log as they came, and to a terminal escaped; what is not one gets them all."""
    written = b"\x1b]0;title\x07\x1b[2J\0\xff\x1eplain\r\n"
    line = "printf '" + "".join(f"\\{byte:03o}" for byte in written) + "'"
    async with terminal(daemon.socket, "run", "shop/live", busybox_image, "-c", f"bytes={line}") as screen:
        seen = await screen.read_to_end()
    assert screen.process.returncode == 0
    assert "\\x1b]0;title\\x07\\x1b[2J\\x00\\xff\\x1eplain" in seen
    assert not re.search(r"\x1b\]|\x1b\[2J|[\0\x07\x1e]", seen)
    (release,) = json.loads(daemon.releasectl("history", "--json", "--limit", "1").stdout)["releases"]
    logs = await releasectl(daemon.socket, "logs", release["name"])
    assert written in logs.stdout


def test_events_as_json_lines(daemon: Daemon, busybox_image: str) -> None:
    """For programs: one event a line, with the field names of the contract."""
    done = daemon.releasectl("run", "shop/live", busybox_image, "--json", "-c", "hello=echo hello")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert "release" in events[0]["accepted"]
    assert events[-1]["state_changed"]["state"] == "STATE_SUCCEEDED"
    data = [event["command_output"]["data"] for event in events if "command_output" in event]
    assert data == ["aGVsbG8K"]


def test_logs_and_history_afterwards(daemon: Daemon, busybox_image: str) -> None:
    """The log is the same as it was live, and the history finds it by target, state, label and time."""
    live = daemon.releasectl(
        "run", "blog/live", busybox_image, "--label", "ticket=OPS-7", "-c", "fail=echo no; exit 1"
    )
    listed = daemon.releasectl(
        "history", "blog/live", "--state", "failed", "--label", "ticket=OPS-7", "--json"
    )
    (release,) = json.loads(listed.stdout)["releases"]
    assert daemon.releasectl("logs", release["name"]).stdout == live.stdout
    assert json.loads(daemon.releasectl("history", "blog", "--since", "1h", "--json").stdout)["releases"]
    assert "blog/live" in daemon.releasectl("history").stdout
    assert json.loads(daemon.releasectl("status", "--json").stdout)["engine"]["reachable"]


def test_what_is_not_there(daemon: Daemon, tmp_path: Path) -> None:
    """3 for a release, 5 for a daemon."""
    assert daemon.releasectl("show", "01a206b4-a2b2-7ab1-95b6-b2e1eed132ef").returncode == 3
    done = subprocess.run(
        [BIN / "releasectl", "status"],
        env=os.environ | {"RELEASED_SOCKET": str(tmp_path / "none.sock")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 5
    assert "none.sock" in done.stderr


def test_a_log_that_can_t_be_written_is_no_failed_release(daemon: Daemon, busybox_image: str) -> None:
    """5, with the way to come back: the release goes on."""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [BIN / "releasectl", "run", "shop/live", busybox_image, "-c", "hello=echo hello"],
            env=os.environ | {"RELEASED_SOCKET": str(daemon.socket)},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 5
    assert "releasectl watch releases/" in done.stderr
    name = next(word for word in done.stderr.split() if word.startswith("releases/"))
    assert daemon.releasectl("watch", name).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [("history", "--since", "999999d"), ("cancel", "x", "--reason", b"\xff"), ("history", b"\xff")],
)
def test_nonsense_is_a_usage_error(daemon: Daemon, arguments: tuple[str | bytes, ...]) -> None:
    """2, and a sentence instead of a traceback."""
    done = subprocess.run([BIN / "releasectl", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_stopped_daemon_leaves_one_file(engine: Engine, busybox_image: str) -> None:
    """What was written is in the database itself, so that a copy of it is a copy."""
    with running_daemon(engine.url) as daemon:
        daemon.releasectl("run", "shop/live", busybox_image, "-c", "hello=echo hello")
        daemon.process.terminate()
        daemon.process.wait()
        assert not daemon.audit.with_name("audit.db-wal").exists()
        with sqlite3.connect(daemon.audit) as connection:
            assert connection.execute("SELECT state FROM releases").fetchall() == [("SUCCEEDED",)]
        connection.close()
