"""Release commands in an application's settings, from a shell to the engine."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import Daemon, running_daemon
from support.docker_engine import Engine


@pytest.fixture
def daemon(engine: Engine) -> Iterator[Daemon]:
    with running_daemon(engine.url, "[releases]\nstop_grace = 1\n") as daemon:
        yield daemon


def commands(daemon: Daemon, *arguments: str, code: int = 0) -> str:
    """Return what `releasectl commands` says on stdout, or else on stderr."""
    done = daemon.releasectl("commands", *arguments)
    assert done.returncode == code, done.stderr
    return done.stdout or done.stderr


def labels(daemon: Daemon) -> list[str]:
    return [
        command["label"] for command in json.loads(commands(daemon, "list", "shop", "--json"))["commands"]
    ]


def test_settings_are_what_a_release_runs(daemon: Daemon, busybox_image: str) -> None:
    """In their order, in their environments, without those that are disabled; the deploy agent names none."""
    commands(daemon, "add", "shop", "Run migrations", "--line", "echo migrated", "--timeout", "10m")
    commands(daemon, "add", "shop", "notify", "--exec", "echo 'a  b'", "--allow-failure")
    commands(daemon, "add", "shop", "stage only", "--line", "echo stage", "--environment", "stage")
    commands(daemon, "add", "shop", "broken", "--line", "exit 1", "--disabled", "--position", "1")
    assert commands(daemon, "list", "shop") == (
        "NO  COMMAND         TIMEOUT  ENVIRONMENTS  FLAGS          LINE\n"
        "1   broken          default  all           disabled       exit 1\n"
        "2   Run migrations  10m      all           -              echo migrated\n"
        '3   notify          default  all           allow-failure  ["echo", "a  b"]\n'
        "4   stage only      default  stage         -              echo stage\n"
    )
    done = daemon.releasectl("run", "shop/live", busybox_image)
    assert done.returncode == 0
    assert done.stdout == (
        "===== docker release commands =====\n\n"
        "Running Run migrations...\n\nmigrated\n\n"
        "Running notify...\n\na  b\n\n"
    )
    assert "commands: Run migrations (settings), notify (settings)\n" in done.stderr
    assert "Running stage only..." in daemon.releasectl("run", "shop/stage", busybox_image).stdout
    assert "declared for live  nothing\n" in commands(daemon, "list", "shop")


def test_a_line_becomes_a_program_of_the_same_words(daemon: Daemon, busybox_image: str) -> None:
    """Each place that shows what runs says which of the two it is."""
    program = '["echo", "$HOME"]'
    commands(daemon, "add", "shop", "notify", "--line", "echo $HOME")
    told = commands(daemon, "edit", "shop", "notify", "--exec", "echo $HOME")
    assert told == f"'notify' of shop: line: echo $HOME -> {program}\n"
    assert commands(daemon, "list", "shop").endswith(f"  {program}\n")
    assert f" line: echo $HOME -> {program}\n" in commands(daemon, "history", "shop")
    assert program in daemon.releasectl("plan", "shop/live", busybox_image).stdout
    done = daemon.releasectl("run", "shop/live", busybox_image, "--detach")
    daemon.releasectl("watch", done.stdout.strip())
    assert program in daemon.releasectl("show", done.stdout.strip()).stdout
    told = commands(daemon, "edit", "shop", "notify", "--line", "echo $HOME")
    assert told == f"'notify' of shop: line: {program} -> echo $HOME\n"


def test_settings_are_edited_moved_and_removed(daemon: Daemon) -> None:
    """By label or number; the history has all of it, the newest first."""
    for label in ("a", "b", "c"):
        commands(daemon, "add", "shop", label, "--line", f"./{label}")
    assert commands(daemon, "move", "shop", "c", "--first") == "'c' of shop: number: 3 -> 1\n"
    commands(daemon, "move", "shop", "1", "--after", "a")
    commands(daemon, "move", "shop", "a", "--before", "b")
    commands(daemon, "move", "shop", "a", "--last")
    assert labels(daemon) == ["c", "b", "a"]
    edited = commands(daemon, "edit", "shop", "b", "--timeout", "20m", "--label", "B")
    assert edited == "'b' of shop: label: b -> B; timeout: default -> 20m\n"
    assert commands(daemon, "disable", "shop", "B") == "'B' of shop: disabled: no -> yes\n"
    assert commands(daemon, "enable", "shop", "2") == "'B' of shop: disabled: yes -> no\n"
    assert commands(daemon, "edit", "shop", "B", "--label", "B").endswith(
        "nothing changed, it was so before\n"
    )
    assert commands(daemon, "remove", "shop", "a") == "removed 'a' from shop, which has 2 commands now\n"
    page = commands(daemon, "history", "shop", "--limit", "2")
    assert re.fullmatch(
        r"event \d+  \S+Z by \S+ \(uid \d+\)\nremoved\s+a\n\s+number: 3\n\s+line: \./a\n\n"
        r"event \d+  \S+Z by \S+ \(uid \d+\)\nedited\s+B\n\s+disabled: yes -> no\n",
        page,
    )
    token = json.loads(commands(daemon, "history", "shop", "--limit", "2", "--json"))["next_page_token"]
    older = json.loads(commands(daemon, "history", "shop", "--page-token", token, "--json"))["changes"]
    assert [change["action"].removeprefix("ACTION_") for change in older[-3:]] == ["ADDED"] * 3


def test_a_stale_edit_is_refused(daemon: Daemon) -> None:
    """Whoever has not seen the newest change does not undo it."""
    commands(daemon, "add", "shop", "a", "--line", "./a")
    seen = json.loads(commands(daemon, "list", "shop", "--json"))["etag"]
    commands(daemon, "edit", "shop", "a", "--line", "./b", "--if-etag", seen)
    refused = commands(daemon, "edit", "shop", "a", "--line", "./c", "--if-etag", seen, code=1)
    assert re.fullmatch(
        r"releasectl: the settings of shop were changed meanwhile, and this was not done\. "
        r"The newest change: edited 'a', by \S+ \(uid \d+\), at \S+Z\. Read them and their etag again .*\n",
        refused,
    )
    assert json.loads(commands(daemon, "list", "shop", "--json"))["commands"][0]["line"] == "./b"


def test_what_the_daemon_refuses(daemon: Daemon) -> None:
    """A label that is taken, a position that there is not, an empty line: nothing is changed."""
    commands(daemon, "add", "shop", "a", "--line", "./a")
    assert "'a'" in commands(daemon, "add", "shop", "a", "--line", "./b", code=2)
    positions = "must be one that there is: from 1 to"
    assert commands(daemon, "move", "shop", "a", "--to", "9", code=2) == f"--to: {positions} 1\n"
    add = ("add", "shop", "b", "--line")
    assert commands(daemon, *add, "x", "--position", "9", code=2) == f"--position: {positions} 2\n"
    assert commands(daemon, *add, " ", code=2) == "--line: must not be empty\n"
    slug = "must be 1 to 63 lower-case letters, digits and inner hyphens"
    wrong = commands(daemon, *add, "x", "--environment", "a", "--environment", "B", code=2)
    assert wrong == f"--environment number 2: {slug}\n"
    assert commands(daemon, "list", "Shop", code=2) == f"APP: {slug}\n"
    assert commands(daemon, "remove", "shop", "b", code=3).endswith("has no command 'b'; it has 1 'a'\n")
    assert labels(daemon) == ["a"]


def test_settings_outlive_the_daemon(engine: Engine, tmp_path: Path) -> None:
    """They are in the audit log."""
    audit = tmp_path / "audit.db"
    with running_daemon(engine.url, audit=audit) as daemon:
        commands(daemon, "add", "shop", "a", "--line", "./a")
    with running_daemon(engine.url, audit=audit) as daemon:
        assert labels(daemon) == ["a"]
