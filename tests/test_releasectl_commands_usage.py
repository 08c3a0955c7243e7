"""What each verb of `releasectl commands` takes for a command, what it refuses, and its JSON."""

import json

import grpc
import pytest

from releasephase.v1.command_service_pb2 import (
    Command,
    DeclaredCommands,
    ListCommandChangesResponse,
    ListCommandsResponse,
)
from releasephase.v1.release_pb2 import CommandRun
from support.scripted_service import Refusal, ScriptedService
from support.settings_story import NONE, NOTIFY, SETTINGS, a_command, changed, commands


@pytest.mark.parametrize("verb", ["edit shop {} --label x", "move shop {} --last", "remove shop {}"])
async def test_an_unknown_command_names_those_there_are(service: ScriptedService, verb: str) -> None:
    """By number and label, so that the next try succeeds."""
    service.answer("ListCommands", SETTINGS, NONE)
    result = await commands(service, verb.format("migrations"))
    known = "1 'Run migrations', 2 'self-test', 3 'notify'"
    assert result.stderr == f"releasectl: shop has no command 'migrations'; it has {known}\n"
    assert result.exit_code == 3
    result = await commands(service, verb.format("0"))
    assert result.stderr == "releasectl: shop has no command '0'; it has none at all\n"
    assert len(service.requests) == 2


async def test_a_number_that_is_a_label_of_another_is_ambiguous(service: ScriptedService) -> None:
    """The wrong command is not removed by chance; a label that is no number there is one."""
    odd = ListCommandsResponse(commands=[a_command(1, "2"), a_command(2, "1"), a_command(3, "404")])
    service.answer("ListCommands", odd)
    service.answer("DeleteCommand", NONE)
    result = await commands(service, "remove shop 1")
    assert result.exit_code == 2
    assert (
        "'1' is the number of one command and the label of another; shop has 1 '2', 2 '1', 3 '404'"
        in result.stderr
    )
    assert len(service.requests) == 1
    assert (await commands(service, "remove shop 404")).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("list shop/live", "write APP, such as shop, not 'shop/live'"),
        ("add shop migrate", "say what is to run, with --line or --exec"),
        ("add shop migrate --line a --exec b", "give --line or --exec, not both"),
        ('add shop migrate --exec "a \'b"', "can't be split as a shell does: No closing quotation"),
        ("add shop migrate --exec ''", "a program is written 'program arguments'"),
        ("add shop migrate --line a --position 0", "--position"),
        ("add shop migrate --line a --if-etag ''", "an etag is not empty"),
        ("edit shop migrate", "say what is to be different, such as --line or --timeout"),
        ("edit shop 1 --timeout 5m --default-timeout", "--timeout or --default-timeout, not both"),
        ("edit shop 1 --environment a --all-environments", "--environment or --all-environments, not both"),
        ("move shop 1", "say where to, with one of --to, --first, --last, --before and --after"),
        ("move shop 1 --to 2 --last", "say where to, with one of"),
        ("move shop 1 --before 'Run migrations'", "'Run migrations' can't go next to itself"),
    ],
)
async def test_wrong_usage_is_2(service: ScriptedService, arguments: str, message: str) -> None:
    """Nothing is changed."""
    service.answer("ListCommands", SETTINGS)
    result = await commands(service, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert len(service.requests) <= 1


@pytest.mark.parametrize(
    ("verb", "field", "value"),
    [
        ("list shop", "etag", "7"),
        ("add shop notify --line x", "label", "notify"),
        ("edit shop 3 --line x", "label", "notify"),
        ("enable shop 3", "label", "notify"),
        ("disable shop 3", "label", "notify"),
        ("move shop 3 --first", "label", "notify"),
        ("remove shop 3", "etag", "7"),
        ("history shop", "next_page_token", "t"),
    ],
)
async def test_json_is_what_the_daemon_answered(
    service: ScriptedService, verb: str, field: str, value: str
) -> None:
    """One object, and no message beside it."""
    changed(service, "DeleteCommand", SETTINGS)
    for method in ("CreateCommand", "UpdateCommand", "MoveCommand"):
        service.answer(method, NOTIFY)
    service.answer("ListCommandChanges", ListCommandChangesResponse(next_page_token="t"))
    result = await commands(service, f"{verb} --json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)[field] == value


@pytest.mark.parametrize(
    ("verb", "method", "field", "told"),
    [
        ("list shop", "ListCommands", "parent", "APP: must be 1 to 63 lower-case"),
        ("add shop x --line y", "CreateCommand", "command.label", "LABEL: refused"),
        ("add shop x --line y", "CreateCommand", "command.argv", "--exec: refused"),
        ("add shop x --line y", "CreateCommand", "command.environments", "--environment: refused"),
        (
            "add shop x --line y",
            "CreateCommand",
            "command.environments[1]",
            "--environment number 2: refused",
        ),
        ("edit shop 1 --label y", "UpdateCommand", "command.label", "--label: refused"),
        ("edit shop 1 --label y", "UpdateCommand", "command.timeout.nanos", "--timeout: refused"),
        ("move shop 1 --to 9", "MoveCommand", "position", "--to: refused"),
        ("remove shop 1", "DeleteCommand", "new_field[0].x", "new_field[0].x: refused"),
        ("history shop --page-token x", "ListCommandChanges", "page_token", "--page-token: refused"),
    ],
)
async def test_what_is_refused_has_the_name_that_was_typed(
    service: ScriptedService, verb: str, method: str, field: str, told: str
) -> None:
    """A field that no option stands for keeps its own."""
    if method != "ListCommands":
        service.answer("ListCommands", SETTINGS)
    service.answer(method, Refusal(grpc.StatusCode.INVALID_ARGUMENT, violations=((field, "refused"),)))
    result = await commands(service, verb)
    assert (result.exit_code, result.stdout) == (2, b"")
    assert result.stderr.startswith(told)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            CommandRun.SOURCE_IMAGE,
            "is declared by the image shop:42, and is not in the settings of shop: change it in its label "
            "releasephase.commands and build a new image",
        ),
        (
            CommandRun.SOURCE_PROCFILE,
            "is declared by the Procfile of the image shop:42, and is not in the settings of shop: change it "
            "in that file and build a new image",
        ),
    ],
)
@pytest.mark.parametrize(
    "verb", ["edit shop '{}' --line x", "remove shop '{}'", "disable shop '{}'", "move shop '{}' --last"]
)
async def test_a_command_that_an_image_declares_is_not_changed_here(
    service: ScriptedService, verb: str, source: CommandRun.Source.ValueType, message: str
) -> None:
    """It is in the list, so it is said where it comes from, and what can be done."""
    declared = DeclaredCommands(
        environment="live", image="shop:42", source=source, commands=[Command(label="Warm up")]
    )
    service.answer("ListCommands", ListCommandsResponse(commands=[NOTIFY], declared=[declared], etag="7"))
    result = await commands(service, verb.format("Warm up"))
    assert (result.exit_code, result.stdout) == (3, b"")
    assert result.stderr == (
        f"releasectl: 'Warm up' {message}, or let one release pass it over with "
        "releasectl run --skip 'Warm up' --reason TEXT\n"
    )
    assert len(service.requests) == 1
