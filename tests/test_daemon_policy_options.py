"""Attempts to smuggle options of the engine into a request, on a real engine."""

from collections.abc import Callable
from typing import Any

import aiodocker
import msgspec
import pytest

from released.config import PolicyTable
from releasephase.v1.release_pb2 import Mount
from releasephase.v1.release_service_pb2 import StartReleaseRequest
from support.app import App, Serve
from support.refusals import INVALID, assert_failed, refusal
from support.rpc_errors import details_of, refused


@pytest.mark.parametrize("path", ["/proc/self/fd/8", "/proc/self/fd/7/", "//proc/1/root", "/proc", "/dev"])
async def test_working_directories_that_are_the_kernel_s(app: App, path: str) -> None:
    """The one that runc had left open led to the host, CVE-2024-21626."""
    assert set(await refusal(app, working_dir=path)) == {"working_dir"}


@pytest.mark.parametrize("mode", ["CONTAINER_MODE_PER_RELEASE", "CONTAINER_MODE_PER_COMMAND"])
async def test_image_whose_own_working_directory_is_the_kernel_s(
    app: App, make_busybox_image: Callable[..., str], mode: str
) -> None:
    """A request that names another one makes it harmless."""
    image = make_busybox_image("WORKDIR /proc/self/fd/8")
    assert_failed(
        await app.run("echo escaped", image=image, container_mode=mode), "no release may work there"
    )
    outcome = await app.run("pwd", image=image, container_mode=mode, working_dir="/tmp")
    assert outcome.output() == b"/tmp\n"


async def test_the_host_s_network(app: App) -> None:
    """By its name."""
    assert set(await refusal(app, networks=["bridge", "host"])) == {"networks[1]"}


async def test_the_engine_s_default_network(serve: Serve) -> None:
    """It is a network as any other, which who names none would join; `none` is the one without a way out."""
    async with serve(policy=PolicyTable(networks=("none", "shop-*"))) as app:
        assert set(await refusal(app)) == {"networks"}
        assert set(await refusal(app, INVALID, networks=[""])) == {"networks[0]"}
        outcome = await app.run("ls /sys/class/net", networks=["none"])
        assert "eth0" not in outcome.output().decode().split()
    async with serve(policy=PolicyTable(networks=("",))) as app:
        assert set(await refusal(app, networks=["bridge"])) == {"networks[0]"}
        assert "eth0" in (await app.run("ls /sys/class/net")).output().decode().split()


async def test_networks_that_are_not_allowed_any_more(serve: Serve) -> None:
    """The policy of the moment counts for what waits, also for those that named none."""
    async with serve(policy=PolicyTable(networks=("bridge", "", "none"))) as app:
        running = await app.start("echo up; sleep 1000", networks=["none"])
        await app.until_output(running.name, b"up\n")
        waiting = [(await app.start("echo escaped", networks=networks)).name for networks in ([], ["bridge"])]
        tightened = {"default": PolicyTable(networks=("none",))}
        app.configuration.replace(msgspec.structs.replace(app.config, policy=tightened))
        await app.cancel(running.name)
        for name in waiting:
            assert_failed(await app.outcome(name), "allows none")


@pytest.mark.parametrize(
    "network",
    [
        *("container:abc", "container:", "ns:/proc/1/ns/net", "host ", " host", "HOST\n", "host\0"),
        *("name=host", "host,bridge", "bridge;host", "/proc/1/ns/net", "../host", "", "-host"),
    ],
)
async def test_networks_that_are_no_names(app: App, network: str) -> None:
    """The engine takes more than names: other containers, namespaces, options."""
    assert set(await refusal(app, INVALID, networks=[network])) == {"networks[0]"}


@pytest.mark.parametrize("length", [64, 12])
@pytest.mark.parametrize("first", [True, False])
async def test_networks_by_their_ids(app: App, docker: aiodocker.Docker, length: int, first: bool) -> None:
    """The engine takes an id, or its head, for a name: the policy is about names."""
    for name, words in (("host", "the host's own network"), ("none", "is the id of the network none")):
        network_id = (await docker._query_json(f"networks/{name}"))["Id"][:length]
        networks = [network_id] if first else ["bridge", network_id]
        assert_failed(await app.run("echo escaped", networks=networks), words)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"user": "root\n"}, "user"),
        ({"user": "0:0:0"}, "user"),
        ({"user": "0 --privileged"}, "user"),
        ({"user": "-1"}, "user"),
        ({"env": [{"name": "A=B", "value": "c"}]}, "env[0].name"),
        ({"env": [{"name": "A\nLD_PRELOAD", "value": "c"}]}, "env[0].name"),
        ({"env": [{"name": "", "value": "LD_PRELOAD=x"}]}, "env[0].name"),
        ({"env": [{"name": "A", "value": "b\0LD_PRELOAD=x"}]}, "env[0].value"),
        ({"env": [{"name": "RELEASEPHASE_TARGET", "value": "bank/live"}]}, "env[0].name"),
        ({"labels": {"a\nb": "c"}}, "labels"),
        ({"labels": {"a": "b\nc"}}, "labels"),
        ({"working_dir": "/srv/../proc"}, "working_dir"),
        ({"entrypoint": {"arguments": ["", "sh"]}}, "entrypoint.arguments[0]"),
        ({"image": "shop --privileged"}, "image"),
        ({"image": "shop\nFROM x"}, "image"),
        ({"mounts": [{"source": "a,b=c", "target": "/x"}]}, "mounts[0].source"),
        ({"mounts": [{"source": "/srv:/etc", "target": "/x"}]}, "mounts[0]"),
    ],
    ids=str,
)
async def test_options_smuggled_into_other_fields(app: App, fields: dict[str, Any], field: str) -> None:
    """Every field is one value, in its form."""
    error = await refused(app.start("echo escaped", **fields))
    assert [violation.field for violation in details_of(error)[1].field_violations] == [field]


async def test_value_of_several_lines_is_one_variable(app: App) -> None:
    """A line break starts no other one."""
    value = "a\nLD_PRELOAD=/tmp/evil.so\nRELEASEPHASE_TARGET=bank/live"
    outcome = await app.run('echo "[$LD_PRELOAD] $RELEASEPHASE_TARGET"', env=[{"name": "A", "value": value}])
    assert outcome.output() == b"[] shop/live\n"


def test_contract_has_no_other_options() -> None:
    """A field that is added to the request must be thought about here: which of them reach the engine?"""
    fields = {field.name for field in StartReleaseRequest.DESCRIPTOR.fields}
    assert fields == {
        *(
            "application",
            "environment",
            "image",
            "commands",
            "env",
            "networks",
            "mounts",
            "resources",
            "user",
        ),
        *("working_dir", "entrypoint", "pull_policy", "registry_auth", "release_timeout", "on_busy"),
        *("request_id", "requested_by", "labels", "validate_only", "container_mode"),
        *("skip_labels", "skip_reason", "like_container"),
    }
    assert {field.name for field in Mount.DESCRIPTOR.fields} == {"source", "target", "read_only"}
