"""Containers that are left of releases, on a real engine: whose are removed, and whose are not."""

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from released.audit.key import AuditKey
from released.engine.container import name_of
from released.engine.engine import Engine as DaemonsEngine
from released.engine.engine import OwnContainer
from support.app import App, Serve, serving_app
from support.docker_engine import Engine
from support.engine_http import EngineError
from support.faulty_engine import faulty_engine
from support.samples import RELEASE, a_spec

DAEMON = "f" * 16
GRACE = 0.2
NAME = name_of(RELEASE, a_spec("true"))


def id_of(app: App) -> str:
    return AuditKey.open(app.config.audit.path).instance_id


@dataclass
class Containers:
    """Containers that the test itself has created."""

    engine: Engine
    image: str
    created: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)

    def create(self, name: str = "", **labels: str) -> str:
        """Create and start a container with these labels of ours, and return its id. No name: some name."""
        config = {
            "Image": self.image,
            "Cmd": ["sleep", "100000"],
            "Labels": {f"releasephase.{name}": value for name, value in labels.items()},
        }
        return self._start(config, name)

    def run_copy(self, container: str) -> str:
        """Do what `docker commit` and `docker run` do: the image has the container's labels."""
        image = self.engine.http.json("POST", "/commit", {"container": container}, body={})["Id"]
        self.images.append(image)
        return self._start({"Image": image}, "")

    def _start(self, config: dict[str, Any], name: str) -> str:
        params = {"name": name} if name else {}
        container: str = self.engine.http.json("POST", "/containers/create", params, body=config)["Id"]
        self.created.append(container)
        self.engine.http.request("POST", f"/containers/{container}/start")
        return container

    def runs(self, container: str) -> bool:
        return bool(self.engine.http.json("GET", f"/containers/{container}/json")["State"]["Running"])

    async def removed(self, container: str) -> None:
        """Wait until it is gone."""
        await asyncio.to_thread(self._wait_removed, container)

    def _wait_removed(self, container: str) -> None:
        try:
            self.engine.http.request("POST", f"/containers/{container}/wait", {"condition": "removed"})
        except EngineError as error:
            if error.status != 404:
                raise

    def clean_up(self) -> None:
        for container in self.created:
            try:
                self.engine.http.request("DELETE", f"/containers/{container}", {"force": "1"})
            except EngineError as error:
                if error.status != 404:
                    raise
        for image in self.images:
            self.engine.remove_image(image)


@pytest.fixture
def containers(engine: Engine, busybox_image: str) -> Iterator[Containers]:
    containers = Containers(engine, busybox_image)
    yield containers
    containers.clean_up()


async def test_grace_that_is_changed_counts_at_once(serve: Serve, containers: Containers) -> None:
    """For containers that are seen for the first time from then on, and looked for that often."""
    async with serve(orphan_grace=3600.0) as app:
        app.reconfigure("releases", orphan_grace=GRACE)
        await containers.removed(containers.create(NAME, release=f"releases/{RELEASE}", daemon=id_of(app)))


async def test_orphan_is_removed_and_the_containers_of_others_are_not(
    serve: Serve, containers: Containers
) -> None:
    """Others are other daemons on the same engine, and whoever uses our labels for something else."""
    async with serve(orphan_grace=GRACE) as app:
        others = [
            containers.create(f"{NAME}-0", release=f"releases/{RELEASE}", daemon="0" * 16),
            containers.create(f"{NAME}-1", release=f"releases/{RELEASE}"),
            containers.create(f"{NAME}-2", daemon=id_of(app)),
            containers.create(release=f"releases/{RELEASE}", daemon=id_of(app)),
        ]
        orphan = containers.create(NAME, release=f"releases/{RELEASE}", daemon=id_of(app))
        await containers.removed(orphan)
        # They had been there before the orphan was.
        assert all(containers.runs(other) for other in others)
        assert list((await app.status()).orphans) == []


async def test_copy_of_a_container_is_nobodys(containers: Containers) -> None:
    """A person's `docker run` of what was committed of a release's container; it is in no list of ours."""
    ours = containers.create(NAME, release=f"releases/{RELEASE}", daemon=DAEMON)
    copy = containers.run_copy(ours)
    details = containers.engine.http.json("GET", f"/containers/{copy}/json")
    assert details["Config"]["Labels"]["releasephase.release"] == f"releases/{RELEASE}"
    engine = DaemonsEngine(containers.engine.url, timedelta(seconds=10))
    try:
        assert await engine.containers_of(RELEASE) == [ours]
        assert await engine.containers_of_daemon(DAEMON) == [OwnContainer(ours, NAME, RELEASE)]
        assert RELEASE in await engine.releases_with_containers()
        containers.engine.http.request("DELETE", f"/containers/{ours}", {"force": "1"})
        assert RELEASE not in await engine.releases_with_containers()
    finally:
        await engine.close()


async def test_release_under_way_keeps_its_container(serve: Serve, containers: Containers) -> None:
    """Although it runs for longer than the grace; it carries both labels, as an orphan does."""
    async with serve(orphan_grace=GRACE) as app:
        release = await app.start("echo up; sleep 1000")
        await app.until_output(release.name, b"up\n")
        created = await app.until(release.name, "container_created")
        container = created.container_created.container_id
        labels = containers.engine.http.json("GET", f"/containers/{container}/json")["Config"]["Labels"]
        assert labels["releasephase.daemon"] == id_of(app)
        for _ in range(2):
            orphan = containers.create(NAME, release=f"releases/{RELEASE}", daemon=id_of(app))
            await containers.removed(orphan)
        assert containers.runs(container)
        await app.cancel(release.name)
        assert (await app.outcome(release.name)).state == "CANCELLED"


async def test_orphan_that_cannot_be_removed_is_named_in_the_status(
    engine: Engine, containers: Containers, busybox_image: str
) -> None:
    """With the engine's reason, until the engine lets it be removed."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        async with (
            faulty_engine(Path(folder), engine.url) as faulty,
            serving_app(faulty.url, busybox_image, orphan_grace=GRACE) as app,
        ):
            refusals = asyncio.Semaphore(0)

            def refuse(line: str) -> bool:
                if refused := line.startswith("DELETE"):
                    refusals.release()
                return refused

            faulty.fails = refuse
            orphan = containers.create(NAME, release=f"releases/{RELEASE}", daemon=id_of(app))
            # When it is tried again, the first answer has been taken in.
            for _ in range(2):
                await refusals.acquire()
            (stuck,) = (await app.status()).orphans
            name = engine.http.json("GET", f"/containers/{orphan}/json")["Name"].lstrip("/")
            assert (stuck.container_id, stuck.container_name) == (orphan, name)
            assert stuck.release == f"releases/{RELEASE}"
            assert "not today" in stuck.message
            assert stuck.HasField("first_seen_time")
            faulty.fails = lambda line: False
            await containers.removed(orphan)
            while (await app.status()).orphans:
                pass
