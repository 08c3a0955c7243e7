"""A retry as a request, of any release."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from released.service.retrying import as_start_request, name_violations, size_violations
from releasephase.v1.release_service_pb2 import EnvironmentVariable, RetryReleaseRequest
from support.records import a_record
from support.samples import a_command
from support.start_request import DEFAULT_TIMEOUT, UUID, request, validate

KIB = 1024
names = st.lists(st.sampled_from(["A", "B", "C", "D"]), unique=True)


def variables(names: list[str], **fields: Any) -> list[EnvironmentVariable]:
    return [EnvironmentVariable(name=name, value=f"value-{name}", **fields) for name in names]


ASKED: dict[str, Any] = {
    "commands": [
        {"label": "a", "line": "true", "timeout": {"seconds": 7}, "rollback": "undo", "allow_failure": True},
        {"label": "b", "argv": {"arguments": ["x", "y z"]}},
    ],
    "env": [{"name": "A", "value": "1", "secret": True}, {"name": "B", "value": "2"}],
    "networks": ["back"],
    "mounts": [{"source": "/srv", "target": "/data", "read_only": True}],
    "resources": {"memory_bytes": 64 << 20, "cpus": 1.5, "pids": 10},
    "user": "app",
    "working_dir": "/app",
    "entrypoint": {"arguments": []},
    "pull_policy": 1,
    "release_timeout": {"seconds": 60},
    "on_busy": 2,
    "labels": {"ticket": "OPS-12"},
    "container_mode": 2,
}


def test_request_again_is_read_as_the_same_release() -> None:
    """Field by field: what a retry asks for is what was asked for, but for who asks, and its request_id."""
    spec, _ = validate(request(**ASKED, request_id=UUID, requested_by="Ada"), DEFAULT_TIMEOUT)
    retry = RetryReleaseRequest(env=variables(["A", "B"]), requested_by="Bob")
    again, secrets = validate(as_start_request(spec, retry), DEFAULT_TIMEOUT)
    assert secrets.environment == {"A": "value-A", "B": "value-B"}
    fields = {name: getattr(spec, name) for name in spec.__struct_fields__}
    fields |= {"request_id": "", "requested_by": "Bob"}
    assert {name: getattr(again, name) for name in again.__struct_fields__} == fields


@given(had=names, sent=names)
def test_names_have_to_be_the_same(had: list[str], sent: list[str]) -> None:
    """Each that is missing or superfluous is named, in one violation or one for each; no value is."""
    spec = a_record((a_command(),), [], environment_names=tuple(had)).spec
    found = list(name_violations(spec, variables(sent)))
    missing = [name for name in had if name not in sent]
    assert [each.field for each in found if each.field != "env"] == [
        f"env[{index}].name" for index, name in enumerate(sent) if name not in had
    ]
    (message,) = [each.description for each in found if each.field == "env"] or [""]
    assert (", ".join(missing) in message) == (bool(missing) or message == "")
    assert bool(message) == bool(missing)
    assert "value-" not in str(found)


def test_many_names_are_not_all_told() -> None:
    """An error has to fit the head of an answer."""
    spec = a_record((a_command(),), [], environment_names=tuple(f"N{index}" for index in range(1000))).spec
    (found,) = name_violations(spec, [])
    assert "N9 and 990 more again" in found.description
    assert "N10" not in found.description


def test_values_that_are_too_long_for_the_commands() -> None:
    """As of a first try: they have to fit the arguments of one process, with what may be undone."""
    env = [EnvironmentVariable(name="A", value="x" * 60 * KIB)]
    line = "x" * 1000 * KIB
    for command in (a_command(line=line), a_command(rollback=line)):
        (found,) = size_violations([command], env)
        assert (found.field, found.description.startswith("must be 1048576 bytes at most")) == ("env", True)
        assert list(size_violations([command], [])) == []
