"""`releasectl commands add`, `edit`, `enable` and `disable`, against a scripted service."""

from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from releasephase.v1.command_service_pb2 import Command, ListCommandsResponse
from releasephase.v1.release_pb2 import Argv
from support.scripted_service import Refusal, ScriptedService
from support.settings_story import CHECK, MIGRATE, NOTIFY, a_command, changed, commands


@pytest.mark.parametrize(
    ("arguments", "command", "position", "etag"),
    [
        ("migrate --line './manage.py migrate'", Command(label="migrate", line="./manage.py migrate"), 0, ""),
        (
            "check --exec './check \"a b\"'",
            Command(label="check", argv=Argv(arguments=["./check", "a b"])),
            0,
            "",
        ),
        (
            "all --line x --timeout 1m30s --environment live --environment stage --allow-failure"
            " --rollback y --disabled --position 2 --if-etag 7",
            Command(
                label="all",
                line="x",
                timeout=Duration(seconds=90),
                environments=["live", "stage"],
                allow_failure=True,
                rollback="y",
                disabled=True,
            ),
            2,
            "7",
        ),
    ],
)
async def test_add_says_what_is_given(
    service: ScriptedService, arguments: str, command: Command, position: int, etag: str
) -> None:
    """What is left out is left to the daemon."""
    service.answer("CreateCommand", CHECK)
    result = await commands(service, f"add shop {arguments}")
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr == "added 'self-test' to shop as number 2\n"
    (request,) = service.requests
    assert (request.parent, request.command) == ("applications/shop", command)
    assert (request.position, request.etag) == (position, etag)


@pytest.mark.parametrize(
    ("arguments", "fields", "told"),
    [
        ("'Run migrations' --label migrate", {"label": "migrate"}, "label: Run migrations -> migrate"),
        ("1 --line ./migrate", {"line": "./migrate"}, "line: ./manage.py migrate -> ./migrate"),
        ("1 --timeout 20m", {"timeout": Duration(seconds=1200)}, "timeout: 10m -> 20m"),
        ("1 --default-timeout", {"timeout": None}, "timeout: 10m -> default"),
        ("1 --rollback ''", {"rollback": ""}, "rollback: ./undo -> none"),
        ("1 --environment live", {"environments": ["live"]}, "environments: all -> live"),
        ("1 --allow-failure", {"allow_failure": True}, "allow-failure: no -> yes"),
        ("1 --no-allow-failure", {}, "nothing changed, it was so before"),
    ],
)
async def test_edit_changes_what_is_named(
    service: ScriptedService, arguments: str, fields: dict[str, Any], told: str
) -> None:
    """All else is sent back as it was read, with the etag that it was read with."""
    known = {field.name: value for field, value in MIGRATE.ListFields()}
    expected = Command(**known | fields)
    changed(service, "UpdateCommand", expected)
    result = await commands(service, f"edit shop {arguments}")
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr == f"'Run migrations' of shop: {told}\n"
    assert service.requests[1].command == expected


async def test_edit_turns_a_program_into_a_line_and_back(service: ScriptedService) -> None:
    """A command is one of the two, and they are told apart where their words are the same."""
    by_program = Command()
    by_program.CopyFrom(MIGRATE)
    by_program.argv.arguments.extend(["./manage.py", "migrate"])
    changed(service, "UpdateCommand", a_command(2, "self-test", line="./check"))
    service.answer("UpdateCommand", by_program)
    first = await commands(service, "edit shop self-test --line ./check --all-environments")
    second = await commands(service, "edit shop 'Run migrations' --exec './manage.py migrate'")
    line, program = service.requests[1].command, service.requests[3].command
    assert (line.WhichOneof("command"), line.line, list(line.environments)) == ("line", "./check", [])
    assert list(program.argv.arguments) == ["./manage.py", "migrate"]
    assert 'line: ["./check", "a b"] -> ./check;' in first.stderr
    assert second.stderr == (
        '\'Run migrations\' of shop: line: ./manage.py migrate -> ["./manage.py", "migrate"]\n'
    )


async def test_edit_keeps_what_a_newer_daemon_has_added(service: ScriptedService) -> None:
    """All of a command's fields count: what is not known here must not be lost."""
    newer = Command()
    newer.MergeFromString(NOTIFY.SerializeToString() + b"\xfa\x7f\x03new")  # field 2047
    service.answer("ListCommands", ListCommandsResponse(commands=[newer], etag="7"))
    service.answer("UpdateCommand", newer)
    await commands(service, "enable shop notify")
    assert service.requests[1].command.SerializeToString().endswith(b"\xfa\x7f\x03new")


async def test_enable_and_disable(service: ScriptedService) -> None:
    """A command is passed over, or not any more."""
    changed(service, "UpdateCommand", a_command(3, "notify"))
    result = await commands(service, "enable shop notify")
    assert result.stderr == "'notify' of shop: disabled: yes -> no\n"
    await commands(service, "disable shop 1")
    assert [service.requests[number].command.disabled for number in (1, 3)] == [False, True]
    assert [service.requests[number].command.etag for number in (1, 3)] == ["7", "7"]


async def test_a_taken_label_is_2(service: ScriptedService) -> None:
    """The daemon's words say which one."""
    refusal = Refusal(grpc.StatusCode.ALREADY_EXISTS, "shop has a command 'x' already", "LABEL_TAKEN")
    service.answer("CreateCommand", refusal)
    result = await commands(service, "add shop x --line ./x")
    assert (result.exit_code, result.stderr) == (2, "releasectl: shop has a command 'x' already\n")
