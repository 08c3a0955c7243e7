"""The release container on a real engine: its options, its face in `docker ps`, what can be wrong with it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiodocker
import pytest

from releasephase.v1.release_pb2 import Mount
from releasephase.v1.release_service_pb2 import EnvironmentVariable
from support.app import STDERR, STDOUT, App, Outcome, Serve
from support.docker_engine import Engine


async def inspect_while_running(app: App, docker: aiodocker.Docker, **fields: Any) -> dict[str, Any]:
    """What the engine says of a release's container while its command runs."""
    release = await app.start("echo up; sleep 1000", **fields)
    await app.until_output(release.name, b"up\n")
    found = await docker.containers.list(filters=f'{{"label": ["releasephase.release={release.name}"]}}')
    details: dict[str, Any] = await found[0].show()
    await app.cancel(release.name)
    await app.outcome(release.name)
    return details


@pytest.fixture
async def networks(docker: aiodocker.Docker) -> AsyncIterator[list[str]]:
    """Two networks of the engine."""
    names = ["rp-test-a", "rp-test-b"]
    made = [await docker.networks.create({"Name": name, "CheckDuplicate": True}) for name in names]
    yield names
    for network in made:
        await network.delete()


async def test_environment_reaches_the_commands(app: App) -> None:
    """The request's variables, on top of the image's, and what says that this is a release."""
    env = [
        EnvironmentVariable(name="DATABASE_URL", value="postgres://db/shop?a=b c"),
        EnvironmentVariable(name="EMPTY", value=""),
    ]
    line = 'echo "$DATABASE_URL|${EMPTY-unset}|$RELEASE_COMMAND|$RELEASEPHASE_RELEASE|$RELEASEPHASE_TARGET"'
    outcome = await app.run(line, env=env)
    expected = f"postgres://db/shop?a=b c||1|{outcome.release.name}|shop/live\n"
    assert outcome.output().decode() == expected


async def test_several_networks_are_joined_before_the_first_command(
    app: App, docker: aiodocker.Docker, networks: list[str]
) -> None:
    """An application may have its database on one network and its cache on another."""
    details = await inspect_while_running(app, docker, networks=networks)
    assert set(details["NetworkSettings"]["Networks"]) == set(networks)


async def test_mounts(app: App, tmp_path: Path) -> None:
    """A folder of the host can be written, or only read; a named volume is made by the engine."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("from the host\n")
    (tmp_path / "out").mkdir()
    mounts = [
        {"source": str(tmp_path / "in"), "target": "/in", "read_only": True},
        {"source": str(tmp_path / "out"), "target": "/out"},
    ]
    outcome = await app.run("cat /in/file | tee /out/file; touch /in/new 2>&1 || echo kept", mounts=mounts)
    assert outcome.output().startswith(b"from the host\n")
    assert outcome.output().endswith(b"kept\n")
    assert (tmp_path / "out" / "file").read_text() == "from the host\n"


async def test_named_volumes_outlive_the_release(app: App, docker: aiodocker.Docker) -> None:
    """What one release writes into a volume, the next one finds."""
    mounts = [{"source": "rp-test-volume", "target": "/data"}]
    try:
        await app.run("echo kept > /data/file", mounts=mounts)
        assert (await app.run("cat /data/file", mounts=mounts)).output() == b"kept\n"
    finally:
        await docker._query_json("volumes/rp-test-volume", method="DELETE")


async def test_user_and_working_directory(app: App) -> None:
    """Commands run as the user, and where, that was asked for."""
    outcome = await app.run("id -u; id -g; pwd", user="app", working_dir="/home/app")
    assert outcome.output() == b"1000\n1000\n/home/app\n"


async def test_a_user_that_is_not_root_can_be_timed_out(serve: Serve) -> None:
    """The signals reach the processes of every user."""
    async with serve(stop_grace=5.0) as app:
        outcome = await app.run("sleep 1000", user="1000:1000", timeout=0.5)
    assert (outcome.cause, outcome.release.command_runs[0].signal) == ("COMMAND_TIMED_OUT", 15)


async def test_limits_names_and_labels(app: App, docker: aiodocker.Docker) -> None:
    """The engine enforces the limits, and `docker ps` explains the container."""
    details = await inspect_while_running(
        app,
        docker,
        resources={"memory_bytes": 64 << 20, "cpus": 0.5, "pids": 50},
    )
    host = details["HostConfig"]
    assert (host["Memory"], host["MemorySwap"]) == (64 << 20, 64 << 20)
    assert (host["NanoCpus"], host["PidsLimit"]) == (500_000_000, 50)
    assert (host["Init"], host["LogConfig"]["Type"]) == (True, "local")
    assert details["Name"].startswith("/release-shop-live-")
    labels = details["Config"]["Labels"]
    assert labels["releasephase.target"] == "shop/live"
    assert labels["releasephase.image"] == app.image
    assert labels["releasephase.command-labels"] == "command 0"
    assert "releasephase.commands" not in labels


async def test_the_pids_limit_holds_a_fork_bomb(app: App) -> None:
    """It can't take the host down, and the timeout still ends it."""
    # The shell can't fork any more: with what is built in, it watches the kernel's count of refused forks.
    line = """
        bomb() { bomb | bomb & }
        bomb
        for events in /sys/fs/cgroup/pids.events /sys/fs/cgroup/pids/pids.events; do
            [ ! -e $events ] || break
        done
        refused=0
        until [ "$refused" -gt 0 ]; do read -r name refused < $events; done
        echo held
        while :; do :; done
    """
    outcome = await app.run(line, resources={"pids": 20}, timeout=5)
    assert (outcome.state, outcome.cause) == ("FAILED", "COMMAND_TIMED_OUT")
    assert outcome.output(0, STDOUT) == b"held\n"
    assert outcome.kinds.index("container_removed") < outcome.kinds.index("command_finished")


async def test_the_image_s_entrypoint_is_honoured(app: App, make_busybox_image: Callable[..., str]) -> None:
    """It sets up the environment that commands rely on, as in the application's own containers."""
    image = make_busybox_image('ENTRYPOINT ["/bin/env", "FROM_ENTRYPOINT=yes"]')
    outcome = await app.run("echo $FROM_ENTRYPOINT", image=image)
    assert outcome.output() == b"yes\n"


async def test_the_entrypoint_can_be_replaced_or_left_out(
    app: App, make_busybox_image: Callable[..., str]
) -> None:
    """For images whose entrypoint is a server."""
    image = make_busybox_image('ENTRYPOINT ["/bin/false"]')
    replaced = await app.run("echo $X", image=image, entrypoint={"arguments": ["/bin/env", "X=1"]})
    assert replaced.output() == b"1\n"
    left_out = await app.run("echo $X", image=image, entrypoint={})
    assert left_out.output() == b"\n"


async def test_a_healthcheck_of_the_image_is_switched_off(
    app: App, docker: aiodocker.Docker, make_busybox_image: Callable[..., str]
) -> None:
    """It would call a container unhealthy that runs a migration instead of a server."""
    image = make_busybox_image("HEALTHCHECK CMD false")
    details = await inspect_while_running(app, docker, image=image)
    assert details["Config"]["Healthcheck"]["Test"] == ["NONE"]


async def test_an_entrypoint_that_ends_by_itself(app: App, make_busybox_image: Callable[..., str]) -> None:
    """The message names the entrypoint and the way out; its output is recorded."""
    image = make_busybox_image('ENTRYPOINT ["/bin/sh", "-c", "echo no database >&2; exit 3"]')
    outcome = await app.run("true", image=image)
    assert (outcome.cause, outcome.command_states) == ("CONTAINER_FAILED", ["SKIPPED"])
    assert "ended with exit code 3" in outcome.message
    assert "echo no database" in outcome.message
    assert "entrypoint override" in outcome.message
    assert outcome.output(None, STDERR) == b"no database\n"


async def test_entrypoint_is_that_of_the_image_that_was_run(
    app: App, engine: Engine, make_busybox_image: Callable[..., str], tmp_path: Path
) -> None:
    """Whatever the name of the image stands for by the time that it has ended."""
    name = "releasephase-test/moving:4"
    waiting = "echo up; until test -e /m/go; do sleep 0.05; done; exit 3"
    engine.tag_image(make_busybox_image(f'ENTRYPOINT ["/bin/sh", "-c", "{waiting}"]'), name)
    mounts = [Mount(source=str(tmp_path), target="/m")]
    release = (await app.start("true", image=name, mounts=mounts)).name
    await app.until_output(release, b"up\n")
    engine.tag_image(make_busybox_image("LABEL version=2"), name)
    (tmp_path / "go").touch()
    assert waiting in (await app.outcome(release)).message
    engine.remove_image(name)


async def test_an_entrypoint_that_does_not_hand_over(
    serve: Serve, make_busybox_image: Callable[..., str]
) -> None:
    """A server as the entrypoint never runs the commands: after start_timeout, it is called by its name."""
    image = make_busybox_image('ENTRYPOINT ["/bin/sleep", "1000"]', "CMD []")
    async with serve(start_timeout=1.0) as app:
        outcome = await app.run("true", image=image, entrypoint={"arguments": ["tail", "-f", "/dev/null"]})
    assert (outcome.state, outcome.cause) == ("FAILED", "CONTAINER_FAILED")
    assert "tail -f /dev/null" in outcome.message
    assert "entrypoint override" in outcome.message


async def test_an_image_without_a_shell(app: App, shell_less_image: str) -> None:
    """The reason is said plainly."""
    outcome = await app.run("true", image=shell_less_image)
    assert (outcome.state, outcome.cause) == ("FAILED", "CONTAINER_FAILED")
    assert "no /bin/sh" in outcome.message
    assert "`--container command` with `--exec`" in outcome.message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"user": "nobody-knows"}, "nobody-knows"),
        ({"networks": ["no-such-network"]}, "no-such-network"),
        ({"networks": ["bridge", "no-such-network"]}, "no-such-network"),
        ({"working_dir": "/etc/passwd"}, "/etc/passwd"),
    ],
)
async def test_what_the_engine_refuses(app: App, fields: dict[str, Any], words: str) -> None:
    """The engine's own words say why; nothing runs, nothing is left."""
    outcome = await app.run("echo never", **fields)
    assert (outcome.cause, outcome.command_states) == ("CONTAINER_FAILED", ["SKIPPED"])
    assert words in outcome.message
    assert outcome.output() == b""


async def interrupted(
    app: App, docker: aiodocker.Docker, line: str, interrupt: Callable[[Any], Awaitable[object]]
) -> Outcome:
    """Do something to a container while the first command, which says `up`, runs."""
    release = await app.start(line, "echo never")
    await app.until_output(release.name, b"up\n")
    found = await docker.containers.list(filters=f'{{"label": ["releasephase.release={release.name}"]}}')
    await interrupt(found[0])
    outcome = await app.outcome(release.name)
    assert outcome.output(1) == b""
    return outcome


async def test_a_container_removed_by_somebody_else(app: App, docker: aiodocker.Docker) -> None:
    """Never a success: how the command ended was not seen."""
    outcome = await interrupted(app, docker, "echo up; sleep 1000", lambda it: it.delete(force=True))
    assert (outcome.state, outcome.cause) == ("FAILED", "CONTAINER_FAILED")
    assert outcome.command_states == ["FAILED", "SKIPPED"]
    assert not outcome.release.command_runs[0].HasField("exit_code")


async def test_a_container_killed_by_somebody_else(app: App, docker: aiodocker.Docker) -> None:
    """`docker kill` ends the release as a failure, whatever exit code the engine gives."""
    outcome = await interrupted(app, docker, "echo up; sleep 1000", lambda it: it.kill())
    assert (outcome.state, outcome.cause) == ("FAILED", "CONTAINER_FAILED")
    assert "137" in outcome.message


@pytest.mark.parametrize("line", ["echo up; sleep 1000", "trap 'exit 0' TERM; echo up; sleep 1000 & wait"])
async def test_a_container_stopped_by_somebody_else(app: App, docker: aiodocker.Docker, line: str) -> None:
    """`docker stop` lets the command end as it likes: it is no success, even if the command says so."""
    outcome = await interrupted(app, docker, line, lambda it: it.stop(timeout=5))
    assert outcome.state == "FAILED"
    assert outcome.cause in ("CONTAINER_FAILED", "ENGINE_LOST")
    assert outcome.command_states == ["FAILED", "SKIPPED"]
