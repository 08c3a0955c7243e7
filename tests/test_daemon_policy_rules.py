"""What an operator's policy refuses, and what a caller is told of it, from the real daemon."""

import asyncio
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import aiodocker
import grpc
import pytest

from released.config import MountRule, PolicyTable
from releasephase.v1.release_pb2 import ON_BUSY_REJECT, Release
from support.app import App, Serve, release_request
from support.daemon import ANY_MOUNT, running_daemon
from support.docker_engine import Engine
from support.process import DaemonProcess
from support.rpc_errors import details_of, refused

STRICT = PolicyTable(
    images=("docker.io/releasephase-test/*",),
    networks=("shop-*",),
    users=("1000", ""),
    environment_names=("SHOP_*",),
    mounts=(MountRule("/srv/shop/*", "/m*"),),
    max_memory=64 << 20,
    max_cpus=1.0,
    max_pids=50,
)

TOO_MUCH: dict[str, Any] = {
    "image": "evil.example/shop",
    "networks": ["shop-db", "blog-db"],
    "user": "root",
    "env": [{"name": "SHOP_A", "value": "secret value"}, {"name": "LD_PRELOAD", "value": "secret value"}],
    "mounts": [
        {"source": "/srv/shop/a", "target": "/m1"},
        {"source": "/etc", "target": "/m2", "read_only": True},
        {"source": "data", "target": "/m3", "read_only": True},
    ],
    "resources": {"memory_bytes": 1 << 30, "cpus": 2.0, "pids": 51},
    "working_dir": "/proc/self",
}
REFUSED = {
    *("image", "networks[1]", "user", "env[1].name", "mounts[0]", "mounts[1]", "mounts[2]"),
    *("resources.memory_bytes", "resources.cpus", "resources.pids", "working_dir"),
}


def stored(app: App) -> int:
    with sqlite3.connect(f"file:{app.config.audit.path}?mode=ro", uri=True) as database:
        (count,) = database.execute("SELECT count(*) FROM events").fetchone()
    database.close()
    return int(count)


@pytest.mark.parametrize("validate_only", [False, True])
async def test_all_that_is_refused_is_said_at_once(serve: Serve, validate_only: bool) -> None:
    """Field by field, with what is allowed; no value of a variable."""
    async with serve(policy=STRICT) as app:
        error = await refused(app.start("true", validate_only=validate_only, **TOO_MUCH))
        assert stored(app) == 0
    info, bad = details_of(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "POLICY_VIOLATION")
    assert {violation.field for violation in bad.field_violations} == REFUSED
    why = {violation.field: violation.description for violation in bad.field_violations}
    assert why["networks[1]"] == "blog-db is not allowed: the policy for shop/live allows shop-*"
    assert "only read-only" in why["mounts[0]"]
    assert "secret value" not in str(bad) + str(error.details())


async def test_bad_input_and_refusals_together(serve: Serve) -> None:
    """Bad input comes first; a field that is malformed is not looked at any further."""
    async with serve(policy=STRICT) as app:
        error = await refused(app.start("true", **{**TOO_MUCH, "user": "a b", "request_id": "x"}))
    info, bad = details_of(error)
    assert (error.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    fields = [violation.field for violation in bad.field_violations]
    assert fields[:2] == ["user", "request_id"]
    assert len(set(fields)) == len(fields)
    assert sorted(fields) == sorted({*REFUSED, "request_id"})


def test_command_line_shows_all_of_it(engine: Engine, busybox_image: str) -> None:
    """One line for each; the exit code says that it is a matter of permission."""
    limits = '[policy."shop/*"]\nusers = ["1000"]\nmax_pids = 50\nenvironment_names = []\n'
    with running_daemon(engine.url, limits) as daemon:
        done = daemon.releasectl(
            *(
                "run",
                "shop/live",
                busybox_image,
                "-c",
                "x=true",
                "--pids",
                "51",
                "--env",
                "A=b",
                "--user",
                "0",
            )
        )
        other = daemon.releasectl("run", "blog/live", busybox_image, "-c", "x=true", "--pids", "51")
    assert (done.returncode, done.stdout, other.returncode) == (4, "", 0)
    assert set(done.stderr.splitlines()) == {
        "env[0].name: A is not allowed: the policy for shop/live allows none",
        "user: 0 is not allowed: the policy for shop/live allows 1000",
        "resources.pids: must be 50 at most: so the policy for shop/live",
    }


async def test_what_is_allowed_runs(serve: Serve, docker: aiodocker.Docker, tmp_path: Path) -> None:
    """With the operator's limits."""
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "file").write_text("from the host\n")
    mounts = (MountRule(f"{tmp_path}/*", "/media"),)
    policy = PolicyTable(images=("docker.io/releasephase-test/*",), users=("1000",), mounts=mounts)
    async with serve(policy=policy) as app:
        mount = {"source": str(tmp_path / "media"), "target": "/media/", "read_only": True}
        outcome = await app.run("id -u; cat /media/file", user="1000", mounts=[mount])
    assert outcome.output() == b"1000\nfrom the host\n"


async def test_path_that_a_link_leads_to_has_to_be_allowed_too(serve: Serve, tmp_path: Path) -> None:
    """The policy is about what is mounted, not about what it is called."""
    (tmp_path / "private").mkdir()
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "link").symlink_to("../private")
    mount = {"source": str(tmp_path / "public" / "link"), "target": "/m", "read_only": True}
    async with serve(policy=PolicyTable(mounts=(MountRule(f"{tmp_path}/public/*", "/m"),))) as app:
        _, bad = details_of(await refused(app.start("true", mounts=[mount])))
    assert f"leads to {tmp_path}/private" in bad.field_violations[0].description


async def test_image_by_the_head_of_its_id_is_none(serve: Serve, docker: aiodocker.Docker) -> None:
    """The engine would take it for one, and a pattern of names would match it."""
    async with serve(policy=PolicyTable(images=("docker.io/library/*",))) as app:
        image_id = (await docker.images.inspect(app.image))["Id"]
        _, bad = details_of(await refused(app.start("true", image=image_id)))
        assert [violation.field for violation in bad.field_violations] == ["image"]
        heads = [image_id.removeprefix("sha256:")[:12], image_id[:19]]
        for head in heads:
            outcome = await app.run("echo escaped", image=head, pull_policy="PULL_POLICY_NEVER")
            assert (outcome.cause, outcome.output()) == ("IMAGE_UNAVAILABLE", b"")


def test_policy_that_is_tightened_while_a_release_waits(
    engine: Engine, busybox_image: str, tmp_path: Path
) -> None:
    """A container is mounted what may be mounted then; what has been accepted otherwise stays so."""
    mounts = [{"source": str(tmp_path), "target": "/m"}]
    line = "echo up; until [ -e /m/open ]; do sleep 0.05; done"
    # In memory, as /run is.
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as folder,
        DaemonProcess(Path(folder), engine.url) as daemon,
    ):
        first = daemon.stub.StartRelease(release_request(line, image=busybox_image, mounts=mounts))
        daemon.until_output(first.name, b"up\n")
        second = daemon.stub.StartRelease(release_request("echo escaped", image=busybox_image, mounts=mounts))
        daemon.terminate()
        text = daemon.config.read_text()
        daemon.config.write_text(text.replace(ANY_MOUNT, "[policy.default]\nmax_pids = 2\nimages = []\n"))
        daemon.start()
        (tmp_path / "open").touch()
        assert daemon.outcome(first.name).state == "SUCCEEDED"
        outcome = daemon.outcome(second.name)
    assert (outcome.cause, outcome.output()) == ("CONTAINER_FAILED", b"")
    assert outcome.message == (
        f"The policy refuses it: {tmp_path} at /m is not allowed: the policy for shop/live allows none."
    )


async def test_engine_that_is_reached_by_tcp_mounts_volumes_only(
    serve: Serve, engine: Engine, docker: aiodocker.Docker, tmp_path: Path
) -> None:
    """Its paths are perhaps another host's, and nobody can look at them; that holds for volumes' own, too."""
    path = engine.url.removeprefix("unix://")

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to_reader, to_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(copy(reader, to_writer), copy(to_reader, writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    url = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    bound = {"type": "none", "o": "bind", "device": str(tmp_path)}
    for name, options in (("rp-test-tcp", bound), ("rp-test-plain", {})):
        volume = {"Name": name, "DriverOpts": options}
        await docker._query_json("volumes/create", method="POST", data=volume)
    try:
        async with server, serve(engine={"url": url}) as app:
            for source in (str(tmp_path), "rp-test-tcp"):
                mounts = [{"source": source, "target": "/m", "read_only": True}]
                _, bad = details_of(await refused(app.start("true", mounts=mounts)))
                assert "reaches the engine by TCP" in bad.field_violations[0].description
            outcome = await app.run("echo up", mounts=[{"source": "rp-test-plain", "target": "/m"}])
            assert outcome.output() == b"up\n"
    finally:
        for name in ("rp-test-tcp", "rp-test-plain"):
            await docker._query_json(f"volumes/{name}", method="DELETE")


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_validate_only_tells_the_limits_and_the_place_in_the_queue(serve: Serve) -> None:
    """What the release would be, and nothing is stored of it."""
    async with serve(policy=PolicyTable(max_memory=64 << 20, default_pids=50)) as app:
        preview = await app.start("true", validate_only=True)
        assert (preview.name, preview.state, preview.queue_position) == ("", Release.STATE_QUEUED, 0)
        assert (preview.resources.memory_bytes, preview.resources.pids) == (64 << 20, 50)
        assert stored(app) == 0
        running = await app.start("echo up; sleep 1000")
        await app.until_output(running.name, b"up\n")
        assert (await app.start("true", validate_only=True)).queue_position == 1
        waiting = await app.start("true")
        assert (await app.start("true", validate_only=True)).queue_position == 2
        assert (await app.start("true", validate_only=True, environment="test")).queue_position == 0
        busy = app.start("true", validate_only=True, on_busy=ON_BUSY_REJECT)
        assert (await refused(busy)).code() is grpc.StatusCode.ABORTED
        await app.cancel(waiting.name)
        await app.cancel(running.name)
        await app.outcome(running.name)


async def test_validate_only_of_nothing_to_run(app: App) -> None:
    """Without commands a release succeeds at once."""
    assert (await app.start(validate_only=True)).state == Release.STATE_SUCCEEDED
