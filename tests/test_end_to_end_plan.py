"""Plans, from a shell to the engine: what a release would be, then the release itself."""

import json
import re
from collections.abc import Callable, Iterator

import pytest

from support.daemon import Daemon, running_daemon
from support.docker_engine import Engine
from support.registry import Registry

MakeImage = Callable[..., str]

DECLARED = [
    {"label": "migrate", "command": "echo migrated", "timeout": "10m", "rollback": "./undo"},
    {"label": "self-test", "command": ["echo", "a b"]},
]
SKIP = ("--skip", "self-test", "--reason", "done by hand")


@pytest.fixture
def daemon(engine: Engine) -> Iterator[Daemon]:
    with running_daemon(engine.url, "[releases]\nstop_grace = 1\n") as daemon:
        daemon.releasectl("commands", "add", "shop", "notify", "--line", "false", "--allow-failure")
        daemon.releasectl("commands", "add", "shop", "other", "--line", "true", "--environment", "stage")
        yield daemon


@pytest.fixture
def image(make_busybox_image: MakeImage) -> str:
    """An image that declares two commands."""
    return make_busybox_image(f"LABEL releasephase.commands={json.dumps(json.dumps(DECLARED))}")


def releases(daemon: Daemon) -> list[dict[str, str]]:
    """All releases that the daemon has a record of."""
    listed: list[dict[str, str]] = json.loads(daemon.releasectl("history", "--json").stdout)["releases"]
    return listed


def test_a_plan_is_what_is_run_then(daemon: Daemon, engine: Engine, image: str) -> None:
    """The declared commands, then those in the settings, without what is skipped; and nothing is started."""
    planned = daemon.releasectl("plan", "shop/live", image, *SKIP)
    assert (planned.returncode, planned.stderr) == (0, "")
    fields, table, remarks = planned.stdout.split("\n\n")
    assert re.search(r"^queue     it would start at once$", fields, re.MULTILINE)
    assert "\nexpected  not known: 2 commands have not succeeded here\n" in fields
    assert re.search(r"^image id  sha256:[0-9a-f]{64}$", fields, re.MULTILINE)
    assert table == (
        "NO  COMMAND    SOURCE    TIMEOUT  EXPECTED  LINE\n"
        "1   migrate    IMAGE     10m      -         echo migrated\n"
        '2   self-test  IMAGE     30m      SKIPPED   ["echo", "a b"]\n'
        "3   notify     SETTINGS  30m      -         false"
    )
    assert remarks == (
        "migrate    rollback: ./undo\nself-test  skipped: done by hand\nnotify     allow-failure\n"
    )
    assert releases(daemon) == []
    assert engine.release_containers() == set()
    done = daemon.releasectl("run", "shop/live", image, *SKIP)
    assert done.returncode == 0, done.stderr
    plan = json.loads(daemon.releasectl("plan", "shop/live", image, *SKIP, "--json").stdout)
    release = json.loads(daemon.releasectl("show", releases(daemon)[0]["name"], "--json").stdout)
    declared = ("label", "source", "timeout", "allow_failure", "skip_reason", "rollback")
    for planned_run, run in zip(plan["command_runs"], release["command_runs"], strict=True):
        assert [planned_run[name] for name in declared] == [run[name] for name in declared]
    assert "expected_duration" in plan["command_runs"][0]
    assert plan["image_id"] == release["image_id"]


def test_a_plan_tells_how_long_a_release_takes(daemon: Daemon, busybox_image: str) -> None:
    """Once all that it would run has succeeded."""
    arguments = ("shop/live", busybox_image, "-c", "wait=sleep 0.2", "-c", "check=true")
    assert daemon.releasectl("run", *arguments).returncode == 0
    planned = daemon.releasectl("plan", *arguments).stdout
    assert re.search(r"^expected +[0-9.]+m?s$", planned, re.MULTILINE)
    assert re.search(r"^1   wait +REQUEST  30m +[0-9.]+m?s +sleep 0.2$", planned, re.MULTILINE)


def test_an_image_that_would_be_pulled(daemon: Daemon, registry: Registry, image: str) -> None:
    """Its digest is known and its commands are not; that of the settings is."""
    reference = registry.reference("shop/app", "planned")
    digest = registry.push(image, reference)
    planned = daemon.releasectl("plan", "shop/live", reference)
    assert planned.returncode == 0, planned.stderr
    assert f"@{digest}\nimage id  not known: it would be pulled\n" in planned.stdout
    assert re.search(r"^1   notify +SETTINGS ", planned.stdout, re.MULTILINE)
    assert planned.stdout.endswith(
        f"\nremark  the image {reference} would be pulled: what it declares is not known before\n"
    )


def test_what_would_fail_or_be_refused(
    daemon: Daemon, make_busybox_image: MakeImage, busybox_image: str
) -> None:
    """A malformed declaration with its place, and all that the policy refuses."""
    malformed = make_busybox_image('LABEL releasephase.commands="[{}]"')
    planned = daemon.releasectl("plan", "shop/live", malformed)
    assert (planned.returncode, planned.stdout) == (1, "")
    assert "Object missing required field `label` - at `$[0]`" in planned.stderr
    arguments = ("shop/live", busybox_image, "--volume", "/etc:/a", "--network", "host")
    planned = daemon.releasectl("plan", *arguments)
    assert (planned.returncode, planned.stdout) == (4, "")
    assert [line.split(":")[0] for line in planned.stderr.splitlines()] == ["networks[0]", "mounts[0]"]
    assert planned.stderr == daemon.releasectl("run", *arguments).stderr
    assert daemon.releasectl("plan", "Shop/live", busybox_image).returncode == 2
    misspelt = daemon.releasectl("plan", "shop/live", busybox_image, "--skip", "notfy", "--reason", "x")
    assert misspelt.returncode == 1
    assert "'notfy'" in misspelt.stderr
    assert releases(daemon) == []
