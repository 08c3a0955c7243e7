"""`releasectl commands list` and `show` as processes of their own, against a scripted service."""

import json
import re

import pytest
from google.protobuf.duration_pb2 import Duration

from releasephase.v1.command_service_pb2 import Command, DeclaredCommands, ListCommandsResponse
from releasephase.v1.release_pb2 import CommandRun
from support.command_line import terminal
from support.scripted_service import ScriptedService
from support.settings_story import NONE, NOTIFY, SETTINGS, a_command, commands
from support.story import NAME


async def test_the_list_says_all_there_is(service: ScriptedService) -> None:
    """Commands in order, what undoes them, and below what images have declared."""
    declared = [
        DeclaredCommands(
            environment="live",
            release=NAME,
            image="shop:42",
            image_digest="shop@sha256:12",
            source=CommandRun.SOURCE_IMAGE,
            commands=[
                Command(
                    label="caches",
                    line="./clear",
                    timeout=Duration(seconds=1800),
                    rollback="./warm\n./up",
                )
            ],
        ),
        DeclaredCommands(environment="stage", release=NAME, image="shop:43"),
    ]
    service.answer("ListCommands", ListCommandsResponse(commands=SETTINGS.commands, declared=declared))
    result = await commands(service, "list shop")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.decode() == (
        "NO  COMMAND         TIMEOUT  ENVIRONMENTS  FLAGS          LINE\n"
        "1   Run migrations  10m      all           rollback       ./manage.py migrate\n"
        '2   self-test       default  live, stage   allow-failure  ["./check", "a b"]\n'
        "3   notify          default  all           disabled       ./notify\n"
        "\n"
        "rollback of Run migrations  ./undo\n"
        "\n"
        "declared for live  by IMAGE\n"
        "image              shop:42\n"
        "digest             shop@sha256:12\n"
        f"release            {NAME}\n"
        "\n"
        "NO  COMMAND  TIMEOUT  FLAGS     LINE\n"
        "1   caches   30m      rollback  ./clear\n"
        "\n"
        "rollback of caches  ./warm\\n./up\n"
        "\n"
        "declared for stage  nothing\n"
        "image               shop:43\n"
        f"release             {NAME}\n"
    )
    assert service.requests[0].parent == "applications/shop"


async def test_no_settings_are_a_message(service: ScriptedService) -> None:
    """Data goes to stdout, and there is none."""
    service.answer("ListCommands", NONE)
    result = await commands(service, "list shop")
    assert (result.exit_code, result.stdout, result.stderr) == (
        0,
        b"",
        "no commands in the settings of shop\n",
    )


async def test_a_label_commands_no_terminal(service: ScriptedService) -> None:
    """Labels come from whoever may deploy."""
    service.answer("ListCommands", ListCommandsResponse(commands=[a_command(1, "\x1b[2Jx", line="[red]")]))
    async with terminal(service.socket, "commands", "list", "shop") as screen:
        seen = await screen.read_to_end()
    assert "\\x1b[2Jx" in seen
    assert "[red]" in seen


LONG = ListCommandsResponse(
    commands=[
        a_command(
            1,
            "Bring the database of the shop to the schema that the new version of it expects",
            line="./manage.py migrate --no-input --database default --verbosity 2 && ./manage.py check",
            timeout=Duration(seconds=600),
            environments=["live", "stage", "acceptance"],
            allow_failure=True,
            rollback="./undo",
            disabled=True,
        )
    ]
)


async def table_rows(service: ScriptedService, columns: int) -> list[list[str]]:
    """The rows of the table on a terminal that wide, in which each fits."""
    async with terminal(service.socket, "commands", "list", "shop", columns=columns) as screen:
        seen = re.sub(r"\x1b\[[0-9;]*m|\r", "", await screen.read_to_end())
    rows = seen.split("\n\n")[0].splitlines()
    assert max(map(len, rows)) <= columns
    return [re.split(r"  +", row) for row in rows]


@pytest.mark.parametrize("columns", [80, 100, 120, 160])
async def test_no_column_that_says_something_is_left_out(service: ScriptedService, columns: int) -> None:
    """What is too long is shortened, a label as well as a line, and shows it."""
    service.answer("ListCommands", LONG)
    heading, row = await table_rows(service, columns)
    assert heading == ["NO", "COMMAND", "TIMEOUT", "ENVIRONMENTS", "FLAGS", "LINE"]
    assert row[2] == "10m"
    assert "…" in row[1]
    assert "…" in row[5]
    assert len(row) == 6


async def test_columns_that_say_nothing_give_way_to_what_runs(service: ScriptedService) -> None:
    """All commands are as they are by default."""
    label = "Bring the database to the schema of the new version"
    service.answer(
        "ListCommands", ListCommandsResponse(commands=[a_command(1, label, line="./migrate --all")])
    )
    heading, row = await table_rows(service, 80)
    assert heading == ["NO", "COMMAND", "FLAGS", "LINE"]
    assert row == ["1", label, "-", "./migrate --all"]


async def test_show_has_all_of_a_command(service: ScriptedService) -> None:
    """By its number or label; the lines of a line are as many, and none is cut."""
    line = f"set -e\n\t./migrate {'x' * 200}"
    shown = a_command(1, "migrate", line=line, environments=["live"], rollback="./a\n./b")
    service.answer("ListCommands", ListCommandsResponse(commands=[shown, NOTIFY]))
    result = await commands(service, "show shop migrate")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.decode() == (
        f"name           {shown.name}\n"
        "label          migrate\n"
        "number         1\n"
        "line           set -e\n"
        f"               \t./migrate {'x' * 200}\n"
        "timeout        default\n"
        "environments   live\n"
        "allow-failure  no\n"
        "rollback       ./a\n"
        "               ./b\n"
        "disabled       no\n"
    )
    assert (await commands(service, "show shop 1")).stdout == result.stdout


async def test_show_has_what_images_have_declared(service: ScriptedService) -> None:
    """Each environment by itself: its images may differ. For which others it is declared is not known."""
    declared = [
        DeclaredCommands(
            environment=environment,
            image=image,
            commands=[Command(label="caches", line=f"./clear {image}", position=2), Command(label="other")],
        )
        for environment, image in (("live", "shop:42"), ("stage", "shop:43"))
    ]
    service.answer(
        "ListCommands", ListCommandsResponse(commands=SETTINGS.commands, declared=declared, etag="7")
    )
    shown = (await commands(service, "show shop caches")).stdout.decode()
    assert shown.startswith("declared for   live\nimage          shop:42\nlabel          caches\n")
    assert "\n\ndeclared for   stage\n" in shown
    assert "\nline           ./clear shop:43\n" in shown
    assert "environments" not in shown
    found = json.loads((await commands(service, "show shop caches --json")).stdout)
    assert (found["commands"], found["etag"]) == ([], "7")
    assert [each["label"] for declared in found["declared"] for each in declared["commands"]] == [
        "caches"
    ] * 2


async def test_show_of_what_there_is_not(service: ScriptedService) -> None:
    """As of any other verb."""
    service.answer("ListCommands", NONE)
    result = await commands(service, "show shop x")
    assert (result.exit_code, result.stdout) == (3, b"")
    assert result.stderr == "releasectl: shop has no command 'x'; it has none at all\n"
