"""Requests built from plain Python types, asserted exactly."""

from datetime import timedelta
from uuid import UUID

import pytest
from google.protobuf.text_format import Parse

from releasectl import Command, ContainerMode, Mount, OnBusy, PullPolicy, RegistryAuth, Resources, Target
from releasectl.requests import start_release_request
from releasephase.v1.release_service_pb2 import ReleaseCommand, StartReleaseRequest


def test_every_argument_has_its_field() -> None:
    """What can be said in the contract can be said in Python."""
    request = start_release_request(
        "shop/live",
        "registry.example/shop:42",
        commands=[
            Command("migrate", "./migrate", timeout=timedelta(minutes=5)),
            Command("self-test", argv=["./self-test", "--all"], allow_failure=True, rollback="./undo"),
        ],
        env={"STAGE": "live"},
        secrets={"TOKEN": "geheim"},
        networks=["front", "back"],
        mounts=[Mount("/srv/media", "/media", read_only=True), Mount("data", "/data")],
        resources=Resources(memory_bytes=2**29, cpus=1.5, pids=100),
        user="app:app",
        working_dir="/app",
        entrypoint=["/bin/tini", "--"],
        pull_policy=PullPolicy.ALWAYS,
        registry_auth=RegistryAuth("robot", "pass", "token"),
        release_timeout=timedelta(hours=1, milliseconds=500),
        on_busy=OnBusy.REJECT,
        request_id="b7e4a2f0-0000-4000-8000-000000000000",
        requested_by="jane",
        labels={"ticket": "OPS-12"},
        container_mode=ContainerMode.PER_COMMAND,
        validate_only=True,
        skip_labels=["migrate", "notify"],
        skip_reason="done by hand",
        like_container="shop-web-1",
    )
    expected = """
        application: "shop" environment: "live" image: "registry.example/shop:42"
        commands { label: "migrate" line: "./migrate" timeout { seconds: 300 } }
        commands {
          label: "self-test" argv { arguments: "./self-test" arguments: "--all" }
          allow_failure: true rollback: "./undo"
        }
        env { name: "STAGE" value: "live" }
        env { name: "TOKEN" value: "geheim" secret: true }
        networks: "front" networks: "back"
        mounts { source: "/srv/media" target: "/media" read_only: true }
        mounts { source: "data" target: "/data" }
        resources { memory_bytes: 536870912 cpus: 1.5 pids: 100 }
        user: "app:app" working_dir: "/app"
        entrypoint { arguments: "/bin/tini" arguments: "--" }
        pull_policy: PULL_POLICY_ALWAYS
        registry_auth { username: "robot" password: "pass" identity_token: "token" }
        release_timeout { seconds: 3600 nanos: 500000000 }
        on_busy: ON_BUSY_REJECT
        request_id: "b7e4a2f0-0000-4000-8000-000000000000"
        requested_by: "jane"
        labels { key: "ticket" value: "OPS-12" }
        container_mode: CONTAINER_MODE_PER_COMMAND
        validate_only: true
        skip_labels: "migrate" skip_labels: "notify" skip_reason: "done by hand"
        like_container: "shop-web-1"
    """
    assert request == Parse(expected, StartReleaseRequest())


def test_the_test_above_covers_the_whole_request() -> None:
    """A field that is added to the contract has to get its argument."""
    assert len(StartReleaseRequest.DESCRIPTOR.fields) == 23
    assert len(ReleaseCommand.DESCRIPTOR.fields) == 6


def test_what_is_not_given_is_not_set() -> None:
    """The daemon's defaults are the daemon's: only a request_id is made up here."""
    request = start_release_request("shop/live", "shop:42")
    assert UUID(request.request_id).version == 4
    request.request_id = ""
    assert request == StartReleaseRequest(application="shop", environment="live", image="shop:42")


def test_no_entrypoint_is_not_the_images_own() -> None:
    """An empty override takes the entrypoint away; none at all leaves the image's."""
    assert start_release_request("a/b", "i", entrypoint=()).HasField("entrypoint")
    assert not start_release_request("a/b", "i", entrypoint=None).HasField("entrypoint")


def test_a_target_may_come_in_parts() -> None:
    """Whoever has application and environment need not join them."""
    assert start_release_request(Target("shop", "live"), "i").environment == "live"


@pytest.mark.parametrize("text", ["", "shop", "shop/", "/live", "shop/live/x", "/"])
def test_a_malformed_target_is_refused(text: str) -> None:
    """The error shows the form that is expected."""
    with pytest.raises(ValueError, match="APPLICATION/ENVIRONMENT, such as shop/live"):
        start_release_request(text, "i")


@pytest.mark.parametrize("arguments", [{}, {"line": "x", "argv": ["x"]}])
def test_a_command_is_either_a_line_or_an_argv(arguments: dict[str, object]) -> None:
    """Neither or both is a mistake of the caller's program."""
    with pytest.raises(ValueError, match="either a line or an argv"):
        Command("migrate", **arguments)  # type: ignore[arg-type]


def test_text_that_is_not_unicode_is_refused() -> None:
    """Bytes from a command line that are not UTF-8 can't be said in the contract."""
    with pytest.raises(ValueError, match="surrogates"):
        start_release_request("shop/live", "i", env={"NAME": "\udcff"})


def test_credentials_do_not_show_in_a_repr() -> None:
    """A traceback or a log line must not give a password away."""
    assert "geheim" not in repr(RegistryAuth("robot", "geheim", "geheim"))
