"""Requests that are good, and what they are read as, at their limits."""

from datetime import timedelta

import pytest
from google.protobuf.duration_pb2 import Duration

from released.model.release import Command, Mount, RegistryAuth, ReleaseSpec, Resources, Secrets
from released.model.states import ContainerMode, OnBusy, PullPolicy
from releasephase.v1 import release_pb2
from releasephase.v1.release_service_pb2 import StartReleaseRequest
from support.start_request import (
    DEFAULT_TIMEOUT,
    KIB,
    SECRET,
    SHA,
    UUID,
    Field,
    argv,
    command,
    env,
    mount,
    request,
    spec_of,
    validate,
)


def test_smallest_request() -> None:
    """What is not said has the defaults of the contract; without commands, it takes those of the settings."""
    spec, secrets = validate(
        StartReleaseRequest(application="a", environment="1", image="x"), DEFAULT_TIMEOUT
    )
    assert spec == ReleaseSpec(application="a", environment="1", image="x", settings=())
    assert (spec.commands, spec.pull_policy, spec.on_busy) == ((), PullPolicy.MISSING, OnBusy.QUEUE)
    assert spec.container_mode is ContainerMode.PER_RELEASE
    assert not secrets


def test_whole_request() -> None:
    """Every field arrives, and what must not be stored is apart from the rest."""
    whole: Field = {
        "application": "shop",
        "environment": "live",
        "image": "registry.example/shop:2",
        "commands": [
            {"label": "migrate", "line": "migrate --all", "timeout": Duration(seconds=90)},
            {"label": "check", "argv": argv("check", "two words")},
        ],
        "env": [{"name": "TOKEN", "value": SECRET, "secret": True}, {"name": "EMPTY"}],
        "networks": ["b", "a"],
        "mounts": [
            {"source": "/srv", "target": "/data", "read_only": True},
            {"source": "db", "target": "/db"},
        ],
        "resources": {"memory_bytes": 64 * KIB * KIB, "cpus": 1.5, "pids": 100},
        "user": "app:www",
        "working_dir": "/srv/app",
        "entrypoint": argv("/entry", "-x"),
        "pull_policy": release_pb2.PULL_POLICY_ALWAYS,
        "registry_auth": {"username": "ci", "password": SECRET},
        "release_timeout": Duration(seconds=600, nanos=500_000_000),
        "on_busy": release_pb2.ON_BUSY_REJECT,
        "request_id": UUID.upper(),
        "requested_by": "agent 7",
        "labels": {"team": "a"},
        "validate_only": True,
        "container_mode": release_pb2.CONTAINER_MODE_PER_COMMAND,
    }
    spec, secrets = validate(StartReleaseRequest(**whole), DEFAULT_TIMEOUT)
    assert spec == ReleaseSpec(
        application="shop",
        environment="live",
        image="registry.example/shop:2",
        commands=(
            Command(label="migrate", line="migrate --all", timeout=timedelta(seconds=90)),
            Command(label="check", argv=("check", "two words"), timeout=DEFAULT_TIMEOUT),
        ),
        environment_names=("TOKEN", "EMPTY"),
        secret_names=("TOKEN",),
        networks=("b", "a"),
        mounts=(Mount("/srv", "/data", True), Mount("db", "/db")),
        resources=Resources(64 * KIB * KIB, 1.5, 100),
        user="app:www",
        working_dir="/srv/app",
        entrypoint=("/entry", "-x"),
        pull_policy=PullPolicy.ALWAYS,
        release_timeout=timedelta(seconds=600.5),
        on_busy=OnBusy.REJECT,
        request_id=UUID,
        requested_by="agent 7",
        labels={"team": "a"},
        container_mode=ContainerMode.PER_COMMAND,
    )
    assert secrets == Secrets({"TOKEN": SECRET, "EMPTY": ""}, RegistryAuth("ci", SECRET))
    assert SECRET not in str(spec)


@pytest.mark.parametrize(
    "image",
    [
        "shop",
        "shop:2",
        "acme/shop:V1.2_3-x",
        "registry.example/team/shop:2",
        "registry.example:5000/shop",
        "localhost/shop",
        "[2001:db8::1]:5000/shop",
        f"shop@{SHA}",
        f"Registry.Example/shop:2@{SHA}",
        "a__b/c-d--e.f",
        SHA,
        "shop:" + "x" * 128,
        "s" * 512,
    ],
)
def test_good_images(image: str) -> None:
    """Every form that the engine knows, as it is."""
    assert spec_of(image=image).image == image


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"application": "x" * 63, "environment": "0-9"}, id="slugs"),
        pytest.param({"commands": [{"label": "x", "line": "true"}] * 100}, id="commands"),
        pytest.param(command(label="ü" * 200), id="label"),
        pytest.param(command(line="x" * (64 * KIB)), id="line"),
        pytest.param(command(line="ä" * (32 * KIB)), id="bytes of a line"),
        pytest.param(command(argv=argv("x" * (64 * KIB))), id="argv"),
        pytest.param(command(argv=argv("true", "", "\n")), id="odd arguments"),
        pytest.param(command(timeout=Duration(nanos=1000)), id="shortest timeout"),
        pytest.param(command(timeout=Duration(seconds=7 * 86400)), id="longest timeout"),
        pytest.param({"release_timeout": Duration(seconds=7 * 86400)}, id="longest release timeout"),
        pytest.param(env(("A", "x" * (64 * KIB - 1))), id="value"),
        pytest.param(env(("a.b-c d", "=\n'\"$")), id="odd variable"),
        pytest.param({"networks": ["a", "b_c.d-9"]}, id="networks"),
        pytest.param({"user": "1000:0"}, id="uid and gid"),
        pytest.param({"user": "_apt"}, id="user"),
        pytest.param({"working_dir": "/a/..b/c d/" + "x" * 4085}, id="working_dir"),
        pytest.param({"entrypoint": argv()}, id="no entrypoint"),
        pytest.param(mount("db_1.x", "/data"), id="volume"),
        pytest.param(mount("/", "/host"), id="the whole host"),
        pytest.param(
            {"resources": {"memory_bytes": 6 * KIB * KIB, "cpus": 0.001, "pids": 2}}, id="least resources"
        ),
        pytest.param({"resources": {"cpus": 100_000.0}}, id="most cpus"),
        pytest.param({"registry_auth": {"identity_token": "t"}}, id="token"),
        pytest.param({"requested_by": "x" * 256}, id="requested_by"),
        pytest.param({"labels": {f"k{i}": "x" * 256 for i in range(64)}}, id="labels"),
        pytest.param({"labels": {"x" * 63: "", "app.kubernetes.io/name": "shöp"}}, id="keys"),
    ],
)
def test_good_requests_at_the_limits(fields: Field) -> None:
    """Nothing is refused that the contract allows."""
    validate(request(**fields), DEFAULT_TIMEOUT)


def test_empty_entrypoint_is_not_the_same_as_none() -> None:
    """It takes the image's own away."""
    assert (spec_of(entrypoint=argv()).entrypoint, spec_of().entrypoint) == ((), None)
