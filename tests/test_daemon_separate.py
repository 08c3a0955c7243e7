"""Each command in a container of its own (container_mode PER_COMMAND), on a real engine."""

from pathlib import Path
from typing import Any

import pytest

from releasephase.v1.release_pb2 import CONTAINER_MODE_PER_COMMAND, Argv, Mount
from releasephase.v1.release_service_pb2 import EnvironmentVariable, ReleaseCommand
from support.app import STDERR, STDOUT, App, Outcome
from support.docker_engine import Engine


async def run(app: App, *lines: str, **fields: Any) -> Outcome:
    return await app.run(*lines, container_mode=CONTAINER_MODE_PER_COMMAND, **fields)


async def test_commands_run_one_after_the_other_each_in_its_own_container(app: App) -> None:
    """What one leaves in its filesystem is gone for the next; its container is gone before that starts."""
    outcome = await run(app, "echo one >/tmp/left; cat /tmp/left", "cat /tmp/left || echo two", "echo three")
    assert (outcome.state, outcome.command_states) == ("SUCCEEDED", ["SUCCEEDED"] * 3)
    assert [outcome.output(index, STDOUT) for index in range(3)] == [b"one\n", b"two\n", b"three\n"]
    assert b"/tmp/left" in outcome.output(1, STDERR)
    one = [
        "container_created",
        "command_started",
        "container_started",
        "command_finished",
        "container_removed",
    ]
    assert [kind for kind in outcome.kinds if kind in one] == one * 3


async def test_an_argv_needs_no_shell(app: App, shell_less_image: str) -> None:
    """Which is what it is for: programs run straight, with their arguments as they are."""
    argvs = [["/bin/true"], ["/bin/cat", "/proc/self/cmdline"], ["/bin/false"], ["/bin/true"]]
    commands = [
        ReleaseCommand(label=f"{index}: {argv[0]}", argv=Argv(arguments=argv))
        for index, argv in enumerate(argvs)
    ]
    outcome = await run(app, commands=commands, image=shell_less_image)
    assert (outcome.cause, outcome.release.failure.command_index) == ("COMMAND_FAILED", 2)
    assert outcome.command_states == ["SUCCEEDED", "SUCCEEDED", "FAILED", "SKIPPED"]
    assert outcome.output(1) == b"/bin/cat\0/proc/self/cmdline\0"


@pytest.mark.parametrize(("line", "code"), [("exit 3", 3), ("kill -KILL $$", 137), ("/nowhere", 127)])
async def test_exit_codes_are_the_commands_own(app: App, line: str, code: int) -> None:
    """As the engine has seen them."""
    outcome = await run(app, line)
    assert (outcome.cause, outcome.release.command_runs[0].exit_code) == ("COMMAND_FAILED", code)


async def test_a_program_that_is_not_there(app: App, shell_less_image: str) -> None:
    """The reason is clear, and nothing is left."""
    command = ReleaseCommand(label="nothing", argv=Argv(arguments=["/bin/nothing"]))
    outcome = await run(app, commands=[command], image=shell_less_image)
    assert outcome.state == "FAILED"
    assert outcome.release.command_runs[0].exit_code == 127
    assert "not found" in outcome.message


async def test_timeout_and_grace(app: App) -> None:
    """The command gets SIGTERM, itself, and keeps its exit code if it ends by that."""
    outcome = await run(app, "trap 'echo bye; exit 5' TERM; echo up; sleep 1000 & wait", "true", timeout=1)
    assert (outcome.cause, outcome.command_states) == ("COMMAND_TIMED_OUT", ["TIMED_OUT", "SKIPPED"])
    assert (outcome.release.command_runs[0].exit_code, outcome.output()) == (5, b"up\nbye\n")


async def test_a_container_that_somebody_else_stops_is_no_success(app: App, engine: Engine) -> None:
    """Whatever its command makes of SIGTERM."""
    release = await app.start(
        "trap 'exit 0' TERM; echo up; sleep 1000 & wait", "true", container_mode=CONTAINER_MODE_PER_COMMAND
    )
    await app.until_output(release.name, b"up\n")
    filters = f'{{"label": ["releasephase.release={release.name}"]}}'
    (container,) = engine.http.json("GET", "/containers/json", {"all": "1", "filters": filters})
    engine.http.request("POST", f"/containers/{container['Id']}/stop")
    outcome = await app.outcome(release.name)
    assert (outcome.cause, outcome.command_states) == ("CONTAINER_FAILED", ["FAILED", "SKIPPED"])


async def test_all_commands_run_in_the_image_that_was_resolved(
    app: App, engine: Engine, shell_less_image: str, tmp_path: Path
) -> None:
    """A tag that is moved between two commands moves nothing."""
    engine.http.request("POST", f"/images/{app.image}/tag", {"repo": "releasephase-test/moving", "tag": "1"})
    try:
        release = await app.start(
            "echo up; until [ -e /m/go ]; do sleep 0.05; done",
            "echo $VALUE",
            image="releasephase-test/moving:1",
            env=[EnvironmentVariable(name="VALUE", value="value")],
            mounts=[Mount(source=str(tmp_path), target="/m")],
            container_mode=CONTAINER_MODE_PER_COMMAND,
        )
        await app.until_output(release.name, b"up\n")
        moved = {"repo": "releasephase-test/moving", "tag": "1"}
        engine.http.request("POST", f"/images/{shell_less_image}/tag", moved)
        (tmp_path / "go").touch()
        outcome = await app.outcome(release.name)
        assert (outcome.state, outcome.output(1)) == ("SUCCEEDED", b"value\n")
    finally:
        engine.remove_image("releasephase-test/moving:1")
