"""Secrets, with the whole daemon on a real engine: masked in output, and on no disk."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import pytest

from releasephase.v1.release_pb2 import CONTAINER_MODE_PER_COMMAND, EntrypointOverride, Failure
from releasephase.v1.release_service_pb2 import CancelReleaseRequest, EnvironmentVariable, RegistryAuth
from support.app import STDERR, STDOUT, App, release_request
from support.docker_engine import Engine
from support.process import DaemonProcess, daemon_in_memory
from support.registry import Registry

PASSWORD = "c0rrect/horse+battery staple"
KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\n9w0BAQEFAASCBKcwggSj\n-----END KEY-----"
URL = "postgres://shop:tr0ub4dor-and-3@db/shop"


def variable(name: str, value: str, secret: bool = True) -> EnvironmentVariable:
    return EnvironmentVariable(name=name, value=value, secret=secret)


async def test_secrets_are_masked_in_both_streams(app: App) -> None:
    """Those that are marked, those whose names say so, passwords in URLs; each line of a key."""
    outcome = await app.run(
        'echo "it is $MARKED"; echo "$API_TOKEN" >&2; echo "$SIGNING"; echo "$ADDRESS"; echo "$OTHER"',
        env=[
            variable("MARKED", PASSWORD),
            variable("API_TOKEN", "0123456789abcdef", secret=False),
            variable("SIGNING", KEY),
            variable("ADDRESS", URL, secret=False),
            variable("OTHER", "not a secret", secret=False),
        ],
    )
    assert outcome.state == "SUCCEEDED", outcome.message
    assert outcome.output(stream=STDOUT).decode() == (
        "it is ***\n***\n***\n***\n***\npostgres://shop:***@db/shop\nnot a secret\n"
    )
    assert outcome.output(stream=STDERR) == b"***\n"


async def test_secrets_are_masked_without_a_supervisor(app: App) -> None:
    """In a container for each command, also at the end of its output."""
    outcome = await app.run(
        'printf "it is $PASSWORD"',
        'printf "$PASSWORD" | head -c 5',
        env=[variable("PASSWORD", PASSWORD)],
        container_mode=CONTAINER_MODE_PER_COMMAND,
    )
    assert outcome.state == "SUCCEEDED", outcome.message
    assert (outcome.output(0), outcome.output(1)) == (b"it is ***", PASSWORD[:5].encode())


async def test_reason_of_a_cancel_is_masked(app: App) -> None:
    """Whoever gives it may paste anything."""
    release = await app.start("echo up; sleep 1000", env=[variable("PASSWORD", PASSWORD)])
    await app.until_output(release.name, b"up\n")
    await app.cancel(release.name, f"the password {PASSWORD} is wrong")
    outcome = await app.outcome(release.name)
    reasons = [
        event.cancel_requested.reason for event in outcome.events if event.HasField("cancel_requested")
    ]
    assert reasons == ["the password *** is wrong"]


async def test_words_of_the_engine_are_masked(app: App) -> None:
    """What it says of a container that it refuses may have anything in it."""
    outcome = await app.run("true", networks=["none-such"])
    assert "network none-such not found" in outcome.message
    env = [variable("PHRASE", "none-such not found")]
    outcome = await app.run("true", networks=["none-such"], env=env)
    assert outcome.message.endswith("network ***.")


@pytest.fixture
def daemon(engine: Engine) -> Iterator[DaemonProcess]:
    with daemon_in_memory(engine.url) as daemon:
        yield daemon


def forms(value: str) -> set[bytes]:
    """The value, and what can be read as it."""
    data = value.encode()
    texts = {value, quote(value), quote(value, safe=""), json.dumps(value)[1:-1]}
    encoded = {base64.b64encode(bytes(offset) + data)[4:-4] for offset in range(3)}
    return {text.encode() for text in texts} | encoded | {line.encode() for line in value.splitlines()}


def files_with(folder: Path, values: list[str]) -> dict[str, list[bytes]]:
    """Which files below a folder have a value in some form, and which."""
    found: dict[str, list[bytes]] = {}
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        hits = [form for value in values for form in forms(value) if form in data]
        if hits:
            found[path.name] = hits
    return found


def test_no_value_is_on_a_disk_whatever_becomes_of_a_release(
    daemon: DaemonProcess, engine: Engine, busybox_image: str, private_registry: Registry
) -> None:
    """Printed, encoded, failing, refused, pulled with wrong credentials, cancelled: neither log has it."""
    env = [variable("PASSWORD", PASSWORD), variable("SIGNING", KEY), variable("ADDRESS", URL, secret=False)]
    # This one is no secret, and may be shown; but nobody stores what nobody printed.
    env += [variable("QUIET", "a value that nobody prints", secret=False)]
    wrong = "wr0ng horse battery"
    image = private_registry.reference("nothing")

    def run(*lines: str, **fields: Any) -> Any:
        request = release_request(*lines, **{"image": busybox_image, "env": env, **fields})
        return daemon.stub.StartRelease(request)

    printing = (
        'set -x; echo "$PASSWORD" "$SIGNING" "$ADDRESS"; env | grep -v QUIET; printf "$SIGNING" | base64; '
        'printf "$PASSWORD" | base64 -w 0; echo "$PASSWORD" >&2; printf "x$PASSWORD" | base64; '
        'printf "xy$SIGNING" | base64 -w 0; exit 3'
    )
    ended = [
        daemon.outcome(run(printing).name),
        daemon.outcome(run("$PASSWORD", '"$SIGNING"').name),
        daemon.outcome(run('echo "$PASSWORD"', container_mode=CONTAINER_MODE_PER_COMMAND).name),
        daemon.outcome(run("true", image="127.0.0.1:9/none").name),
        daemon.outcome(run("true", networks=["none-such"]).name),
        daemon.outcome(run("true", entrypoint=EntrypointOverride(arguments=["/none-such"])).name),
        daemon.outcome(
            run("true", image=image, registry_auth=RegistryAuth(username="reader", password=wrong)).name
        ),
        daemon.outcome(run("true", image=image, registry_auth=RegistryAuth(identity_token=wrong)).name),
    ]
    states = [outcome.state for outcome in ended]
    assert states == ["FAILED", "FAILED", "SUCCEEDED", *["FAILED"] * 5]
    assert ended[6].release.failure.cause == Failure.CAUSE_IMAGE_UNAVAILABLE
    with pytest.raises(grpc.RpcError) as refused:
        run(f"login {PASSWORD}")
    assert PASSWORD not in str(refused.value)
    assert '"$PASSWORD"' in str(refused.value)
    under_way = run('echo "up $PASSWORD"; sleep 1000').name
    daemon.until_output(under_way, b"up ***\n")
    daemon.kill()
    daemon.start()
    daemon.stub.CancelRelease(CancelReleaseRequest(name=under_way, reason=f"it is {PASSWORD}"))
    assert daemon.outcome(under_way).state == "CANCELLED"
    values = [PASSWORD, KEY, "tr0ub4dor-and-3", "a value that nobody prints", wrong]
    assert files_with(daemon.folder, values) == {}  # the audit log's WAL, and the daemon's own log
    assert b"***" in daemon.audit.with_name("audit.db-wal").read_bytes() + daemon.audit.read_bytes()
