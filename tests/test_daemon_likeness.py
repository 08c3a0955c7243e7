"""Releases that are like a running container, with the whole daemon on a real engine."""

import asyncio
import tempfile
import uuid
from pathlib import Path
from typing import Any

import aiodocker
import grpc
import pytest

from releasephase.v1.release_pb2 import Likeness
from releasephase.v1.release_service_pb2 import CancelReleaseRequest
from support.app import STDERR, STDOUT, App, release_request
from support.docker_engine import Engine
from support.other_container import a_container, a_name
from support.process import DaemonProcess
from support.refusals import at
from support.rpc_errors import refused
from support.web import PASSWORD, QUIET, TOKEN, Web

TAKEN = ["API_TOKEN", "DATABASE_URL", "LEVEL", "QUIET"]


async def test_release_has_what_the_container_has(
    like_app: App, web: Web, docker: aiodocker.Docker, engine: Engine
) -> None:
    """Variables but for its image's, networks, mounts but for the nameless ones, and its user."""
    release = await like_app.start(
        "exec 2>&1; id -un; cat /config/file; touch /config/x; ls -d /cache /anonymous; "
        'echo "$LEVEL [$GREETING] $QUIET $RELEASE_COMMAND $RELEASEPHASE_TARGET"; echo up; sleep 1000',
        like_container=web.name,
    )
    await like_app.until_output(release.name, b"up\n")
    details = await docker.containers.container(engine.container_of(release.name)).show()
    await like_app.cancel(release.name)
    outcome = await like_app.outcome(release.name)
    assert outcome.output().decode().splitlines() == [
        *("app", "from the host", "touch: /config/x: Read-only file system"),
        *("ls: /cache: No such file or directory", "ls: /anonymous: No such file or directory"),
        "debug [] *** 1 shop/live",
        "up",
    ]
    assert set(details["NetworkSettings"]["Networks"]) == set(web.networks)
    assert details["HostConfig"]["NetworkMode"] == web.networks[0]
    mounted = {(each["Type"], each["Destination"], each["RW"]) for each in details["Mounts"]}
    assert mounted == {("bind", "/config", False), ("volume", "/data", True)}
    assert details["Config"]["User"] == "app"
    assert sorted(outcome.release.environment_names) == TAKEN
    assert sorted(outcome.release.environment_digests) == TAKEN


async def test_what_was_taken_is_recorded_by_name(like_app: App, web: Web) -> None:
    """In the release, in its first event, and in what validate_only says; also for an id."""
    expected = Likeness(
        container_id=web.container_id,
        container_name=web.name,
        environment_names=TAKEN,
        networks=web.networks,
        mounts=web.mounts,
        user="app",
    )
    plan = await like_app.start("true", like_container=web.name, validate_only=True)
    outcome = await like_app.run("true", like_container=web.container_id[:12])
    for release in (plan, outcome.release, outcome.events[0].accepted.release):
        release.likeness.environment_names.sort()
        assert release.likeness == expected
        assert (release.user, list(release.mounts)) == ("app", web.mounts)
        assert list(release.networks) == list(web.networks)


async def test_request_counts_more(like_app: App, web: Web, tmp_path: Path) -> None:
    """Its variables by their names, its mounts by where they are, its networks and user as a whole."""
    other = tmp_path / "other"
    other.mkdir()
    outcome = await like_app.run(
        'ls -A /config; id -un; echo "$LEVEL"; echo "$MORE"; ls -d /data; ls /sys/class/net',
        like_container=web.name,
        env=[{"name": "LEVEL", "value": "error"}, {"name": "MORE", "value": "yes"}],
        networks=["none"],
        user="root",
        **at(other, "/./config/"),
    )
    assert outcome.output().decode().splitlines()[:5] == ["root", "error", "yes", "/data", "lo"]
    likeness = outcome.release.likeness
    assert sorted(likeness.environment_names) == ["API_TOKEN", "DATABASE_URL", "QUIET"]
    assert (list(likeness.networks), likeness.user) == ([], "")
    assert list(likeness.mounts) == web.mounts[1:]
    assert [mount.source for mount in outcome.release.mounts] == [str(other), web.volume]


async def test_secrets_of_the_container_are_masked(like_app: App, web: Web) -> None:
    """By their names, in URLs, and whatever else may be one: nobody has said of which variables it is not."""
    line = 'echo "$API_TOKEN, $DATABASE_URL, $QUIET, $LEVEL"; echo "$API_TOKEN" >&2'
    outcome = await like_app.run(line, like_container=web.name)
    assert outcome.output(stream=STDOUT) == b"***, postgres://shop:***@db/shop, ***, debug\n"
    assert outcome.output(stream=STDERR) == b"***\n"


async def test_variable_that_is_sent_is_not_masked(like_app: App, web: Web) -> None:
    """Whoever sends it says by that, without marking it, that it is not secret."""
    env = [{"name": "QUIET", "value": QUIET}]
    outcome = await like_app.run('echo "$QUIET"', like_container=web.name, env=env)
    assert outcome.output() == f"{QUIET}\n".encode()


async def test_container_like_its_image(like_app: App, docker: aiodocker.Docker, web_image: str) -> None:
    """Nothing is to be taken: user and variables are its image's, its network the engine's default."""
    async with a_container(docker, web_image, Env=["LEVEL=info"]) as (name, container_id):
        outcome = await like_app.run("true", like_container=name)
        assert outcome.release.likeness == Likeness(container_id=container_id, container_name=name)
        assert outcome.state == "SUCCEEDED"


async def test_release_without_likeness_has_none(like_app: App) -> None:
    """It is absent, not empty."""
    assert not (await like_app.run("true")).release.HasField("likeness")


async def test_container_without_a_way_out(like_app: App, docker: aiodocker.Docker, web_image: str) -> None:
    """The release has none, either."""
    async with a_container(docker, web_image, host={"NetworkMode": "none"}) as (name, _):
        outcome = await like_app.run("ls /sys/class/net", like_container=name)
        assert outcome.output() == b"lo\n"
        assert list(outcome.release.likeness.networks) == ["none"]


async def test_repeated_request_gives_the_same_release(
    like_app: App, docker: aiodocker.Docker, web_image: str
) -> None:
    """Its body is the same, whatever has become of the container; another container is another body."""
    request_id = str(uuid.uuid4())
    name = a_name()
    async with a_container(docker, web_image, name, Env=["A=1"]):
        first = await like_app.run("true", like_container=name, request_id=request_id)
    async with a_container(docker, web_image, name, Env=["A=2"]):
        again = await like_app.start("true", like_container=name, request_id=request_id)
    gone = await like_app.start("true", like_container=name, request_id=request_id)
    assert (again.name, gone.name) == (first.release.name, first.release.name)
    error = await refused(like_app.start("true", like_container=a_name(), request_id=request_id))
    assert error.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_no_value_is_on_a_disk(engine: Engine, web: Web, busybox_image: str) -> None:
    """Neither log has one, whatever becomes of the release."""
    ended, files = await asyncio.to_thread(_run_in_vain, engine.url, busybox_image, web.name)
    assert ended == ["FAILED", "FAILED", "CANCELLED"]
    assert {"audit.db", "released.log"} <= set(files)
    values = [value.encode() for value in (TOKEN, PASSWORD, QUIET)]
    assert {name for name, data in files.items() for value in values if value in data} == set()
    assert b"***" in b"".join(files.values())


def _run_in_vain(engine_url: str, image: str, web: str) -> tuple[list[str], dict[str, bytes]]:
    """Run releases that print, fail, are refused and are cancelled; how they end, and the daemon's files."""
    settings = '[policy."shop/*"]\nlike_containers = ["rp-web-*"]\n'
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder,
        DaemonProcess(Path(folder), engine_url, settings) as daemon,
    ):

        def start(*lines: str, **fields: Any) -> str:
            request = release_request(*lines, image=image, like_container=web, **fields)
            return str(daemon.stub.StartRelease(request).name)

        printing = 'set -x; echo "$API_TOKEN" "$DATABASE_URL"; env | grep -v QUIET; "$API_TOKEN"'
        ended = [daemon.outcome(start(printing)), daemon.outcome(start("true", networks=["none-such"]))]
        for line, fields in ((f"login {TOKEN}", {}), ("true", {"user": "root\n"})):
            with pytest.raises(grpc.RpcError) as refused:
                start(line, **fields)
            assert TOKEN not in str(refused.value)
        under_way = start('echo "up $API_TOKEN"; sleep 1000')
        daemon.until_output(under_way, b"up ***\n")
        daemon.kill()
        daemon.start()
        daemon.stub.CancelRelease(CancelReleaseRequest(name=under_way, reason=f"it is {TOKEN}"))
        ended.append(daemon.outcome(under_way))
        files = {path.name: path.read_bytes() for path in daemon.folder.rglob("*") if path.is_file()}
        return [outcome.state for outcome in ended], files
