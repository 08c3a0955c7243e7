"""Images on a real engine and real registries: pull policies, credentials, progress, digests, refusals."""

import base64
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from releasephase.v1.release_pb2 import PULL_POLICY_ALWAYS, PULL_POLICY_MISSING, PULL_POLICY_NEVER
from support.app import App, Serve
from support.busybox import Layer, shell_image
from support.docker_engine import Engine
from support.registry import USERS, Registry

CREDENTIALS = {"username": "deployer", "password": USERS["deployer"]}


@pytest.fixture
def pushed(registry: Registry, busybox_image: str) -> str:
    """A reference in the open registry that the engine does not have."""
    reference = registry.reference("shop/app")
    registry.push(busybox_image, reference)
    return reference


def push_unique(engine: Engine, registry: Registry, reference: str) -> None:
    """Push an image of one layer that the engine has not, and no other image shares."""
    layer = Layer(shell_image())
    layer.file("unique", os.urandom(1 << 20))
    image = engine.make_image(layer.tar(), name="unique")
    registry.push(image, reference)
    engine.remove_image(image)


def traces(secret: str) -> Iterator[bytes]:
    """What can be found of a secret in a text that has it, plain or somewhere in base64."""
    yield secret.encode()
    for offset in range(3):
        code = base64.b64encode(bytes(offset) + secret.encode())
        # Without the characters at either end that its neighbours have a part in.
        inner = code[4 if offset else 0 : -4]
        yield from {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}


def assert_nowhere(secret: str, app: App, log: str) -> None:
    """Neither in the daemon's log nor in any file of its folder."""
    places = {"the log": log.encode()} | {str(file): file.read_bytes() for file in _files(app.folder)}
    found = [place for place, text in places.items() if any(trace in text for trace in traces(secret))]
    assert not found


async def test_a_missing_image_is_pulled_once(app: App, registry: Registry, pushed: str) -> None:
    """With MISSING, the default, the second release asks no registry."""
    before = len(registry.manifest_requests("shop/app"))
    first = await app.run("true", image=pushed)
    after_first = len(registry.manifest_requests("shop/app"))
    second = await app.run("true", image=pushed, pull_policy=PULL_POLICY_MISSING)
    assert (first.state, second.state) == ("SUCCEEDED", "SUCCEEDED")
    assert after_first > before
    assert len(registry.manifest_requests("shop/app")) == after_first
    assert [e.image_resolved.pulled for e in first.events if e.HasField("image_resolved")] == [True]
    assert [e.image_resolved.pulled for e in second.events if e.HasField("image_resolved")] == [False]


async def test_always_asks_the_registry_every_time(app: App, registry: Registry, pushed: str) -> None:
    """For tags that move."""
    await app.run("true", image=pushed)
    before = len(registry.manifest_requests("shop/app"))
    outcome = await app.run("true", image=pushed, pull_policy=PULL_POLICY_ALWAYS)
    assert outcome.state == "SUCCEEDED"
    assert len(registry.manifest_requests("shop/app")) > before


async def test_never_does_not_ask(app: App, registry: Registry, pushed: str) -> None:
    """An image that the engine does not have fails the release."""
    before = len(registry.requests())
    outcome = await app.run("true", image=pushed, pull_policy=PULL_POLICY_NEVER)
    assert (outcome.state, outcome.cause) == ("FAILED", "IMAGE_UNAVAILABLE")
    assert "NEVER" in outcome.message
    assert len(registry.requests()) == before


async def test_the_digest_is_recorded_and_can_be_released(
    app: App, registry: Registry, busybox_image: str
) -> None:
    """The record says which image it was, in a form that can be asked for again."""
    reference = registry.reference("shop/app")
    digest = registry.push(busybox_image, reference)
    outcome = await app.run("true", image=reference)
    assert outcome.release.image_digest == f"{registry.address}/shop/app@{digest}"
    again = await app.run("true", image=outcome.release.image_digest)
    assert again.state == "SUCCEEDED"
    assert again.release.image_id == outcome.release.image_id
    by_id = await app.run("true", image=outcome.release.image_id)
    assert by_id.state == "SUCCEEDED"


async def test_the_progress_of_a_pull_is_told(app: App, engine: Engine, registry: Registry) -> None:
    """Events say how many layers there are and that they came."""
    reference = registry.reference("shop/unique")
    push_unique(engine, registry, reference)
    outcome = await app.run("true", image=reference)
    engine.remove_image(reference)
    progress = [e.image_pull_progress for e in outcome.events if e.HasField("image_pull_progress")]
    assert progress
    assert progress[-1].layers == progress[-1].layers_done == 1
    assert progress[-1].downloaded_bytes == progress[-1].total_bytes > 1 << 20
    assert progress[-1].status.startswith("Status: ")


async def test_credentials_open_a_private_registry_and_are_nowhere_stored(
    app: App, private_registry: Registry, busybox_image: str, caplog: pytest.LogCaptureFixture
) -> None:
    """They come with the request and go with it."""
    reference = private_registry.reference("secret/app")
    private_registry.push(busybox_image, reference)
    with caplog.at_level("DEBUG"):
        outcome = await app.run("true", image=reference, registry_auth=CREDENTIALS)
    assert outcome.state == "SUCCEEDED"
    assert_nowhere(USERS["deployer"], app, caplog.text)


async def test_credentials_of_the_operator_open_a_private_registry(
    serve: Serve,
    private_registry: Registry,
    busybox_image: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From a file that is read at each pull: it may be replaced, and one that is broken fails its release."""
    reference = private_registry.reference("shop/operator")
    private_registry.push(busybox_image, reference)
    file = tmp_path / "config.json"
    write_credentials(file, private_registry.address, "deployer:wrong horse battery")
    async with serve(registry_config=file) as app:
        wrong = await app.run("true", image=reference)
        file.write_text("{")
        broken = await app.run("true", image=reference)
        write_credentials(file, private_registry.address, f"deployer:{USERS['deployer']}")
        right = await app.run("true", image=reference)
        assert_nowhere(USERS["deployer"], app, caplog.text)
        assert_nowhere("wrong horse battery", app, caplog.text)
    assert [outcome.state for outcome in (wrong, broken, right)] == ["FAILED", "FAILED", "SUCCEEDED"]
    assert (wrong.cause, broken.cause) == ("IMAGE_UNAVAILABLE", "IMAGE_UNAVAILABLE")
    assert "check the credentials" in wrong.message
    assert str(file) in broken.message


async def test_credentials_of_a_request_come_first(
    serve: Serve, private_registry: Registry, busybox_image: str, tmp_path: Path
) -> None:
    """Those of the operator are for requests that have none."""
    reference = private_registry.reference("shop/request")
    private_registry.push(busybox_image, reference)
    file = tmp_path / "config.json"
    write_credentials(file, private_registry.address, "deployer:wrong horse battery")
    async with serve(registry_config=file) as app:
        outcome = await app.run("true", image=reference, registry_auth=CREDENTIALS)
    assert outcome.state == "SUCCEEDED", outcome.message


def write_credentials(file: Path, registry: str, login: str) -> None:
    """A file as `docker login` writes it."""
    auth = base64.b64encode(login.encode()).decode()
    file.write_text(json.dumps({"auths": {registry: {"auth": auth}}}))
    file.chmod(0o600)


async def test_refused_pulls_say_what_to_do(
    app: App,
    registry: Registry,
    private_registry: Registry,
    busybox_image: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not there, no credentials, wrong credentials, no registry: a reason for each, and no secret in it."""
    private = private_registry.reference("secret/other")
    private_registry.push(busybox_image, private)
    wrong = {"username": "deployer", "password": "wrong horse"}
    with caplog.at_level("DEBUG"):
        refusals = [
            await app.run("true", image=registry.reference("shop/nowhere")),
            await app.run("true", image=private),
            await app.run("true", image=private, registry_auth=wrong),
            await app.run("true", image="127.0.0.1:1/shop:1"),
        ]
    assert [(o.state, o.cause, o.command_states) for o in refusals] == [
        ("FAILED", "IMAGE_UNAVAILABLE", ["SKIPPED"]),
    ] * 4
    missing, without, with_wrong, unreachable = (outcome.message for outcome in refusals)
    assert "check the image's name and tag" in missing
    assert "give credentials for the registry" in without
    assert "check the credentials" in with_wrong
    assert "can be reached" in unreachable
    assert_nowhere("wrong horse", app, caplog.text)


async def test_a_pull_that_is_cut_in_the_middle(
    app: App, engine: Engine, private_registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    """The reason is not that of a refusal; nothing runs, and the credentials are nowhere."""
    reference = private_registry.reference("secret/cut")
    push_unique(engine, private_registry, reference)
    private_registry.cut_layers("secret/cut")
    with caplog.at_level("DEBUG"):
        outcome = await app.run("true", image=reference, registry_auth=CREDENTIALS)
    assert (outcome.state, outcome.cause) == ("FAILED", "IMAGE_UNAVAILABLE")
    assert outcome.command_states == ["SKIPPED"]
    assert "EOF" in outcome.message
    assert "credentials" not in outcome.message
    assert "container_created" not in outcome.kinds
    progress = [e.image_pull_progress for e in outcome.events if e.HasField("image_pull_progress")]
    assert max(p.downloaded_bytes for p in progress) > 0
    assert_nowhere(USERS["deployer"], app, caplog.text)


async def test_a_pull_that_takes_too_long(serve: Serve, hanging_registry: Registry) -> None:
    """A registry that accepts a connection and says nothing does not hold the lane for ever."""
    async with serve(pull_timeout=1.0) as app:
        outcome = await app.run("true", image=hanging_registry.reference("shop"))
        assert (outcome.state, outcome.cause) == ("FAILED", "IMAGE_UNAVAILABLE")
        assert "could not be pulled within" in outcome.message


async def test_cancelling_a_pull(app: App, hanging_registry: Registry) -> None:
    """A release can be cancelled while its image is being pulled."""
    release = await app.start("true", image=hanging_registry.reference("shop"))
    await app.until(release.name, "state_changed")
    await app.cancel(release.name)
    assert (await app.outcome(release.name)).state == "CANCELLED"


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
