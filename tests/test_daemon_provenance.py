"""What a release was made of, with the whole daemon on a real engine."""

import asyncio

from releasephase.v1.release_pb2 import CONTAINER_MODE_PER_COMMAND, Release
from releasephase.v1.release_service_pb2 import EnvironmentVariable
from support.app import App
from support.docker_engine import Engine

PASSWORD = "hunter2hunter2"


async def release_with(app: App, environment: str = "live", **values: str) -> Release:
    """A release that runs nothing, and ends at once."""
    env = [EnvironmentVariable(name=name, value=value) for name, value in values.items()]
    return await app.start(environment=environment, env=env)


async def test_two_releases_tell_which_values_changed(app: App) -> None:
    """Of marked secrets and of others, without any of them being stored."""
    before = await release_with(app, DATABASE="db-1", PASSWORD=PASSWORD, MODE="on")
    after = await release_with(app, DATABASE="db-2", PASSWORD=PASSWORD, MODE="on")
    changed = {
        name: digest != after.environment_digests[name] for name, digest in before.environment_digests.items()
    }
    assert changed == {"DATABASE": True, "PASSWORD": False, "MODE": False}
    for path in filter(lambda path: path.is_file(), app.folder.rglob("*")):
        assert PASSWORD.encode() not in await asyncio.to_thread(path.read_bytes)


async def test_values_cannot_be_tried_out_in_another_target(app: App) -> None:
    """Who may deploy one target and read another learns nothing from the digests there."""
    live = await release_with(app, PASSWORD=PASSWORD)
    test = await release_with(app, "test", PASSWORD=PASSWORD)
    assert live.environment_digests["PASSWORD"] != test.environment_digests["PASSWORD"]


async def test_values_cannot_be_tried_out_without_a_trace(app: App) -> None:
    """A request that is only validated, and so not recorded, is told no digest."""
    env = [EnvironmentVariable(name="PASSWORD", value=PASSWORD)]
    preview = await app.start(env=env, validate_only=True)
    assert list(preview.environment_names) == ["PASSWORD"]
    assert dict(preview.environment_digests) == {}


async def test_container_is_recorded_with_its_engine(app: App, engine: Engine) -> None:
    """The version that the engine gives itself, in both container modes."""
    version = (await app.status()).engine.version
    for mode in (0, CONTAINER_MODE_PER_COMMAND):
        outcome = await app.run("true", container_mode=mode)
        (created,) = [
            event.container_created for event in outcome.events if event.HasField("container_created")
        ]
        assert created.engine_version == outcome.release.engine_version == version
        assert outcome.release.container_id == created.container_id
