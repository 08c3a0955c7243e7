"""`releasectl commands list` as a process of its own, against a scripted service."""

from releasephase.v1.command_service_pb2 import Command, DeclaredCommands, ListCommandsResponse
from releasephase.v1.release_pb2 import CommandRun
from support.command_line import terminal
from support.scripted_service import ScriptedService
from support.settings_story import NONE, SETTINGS, a_command, commands
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
            commands=[Command(label="caches", line="./clear", rollback="./warm\n./up")],
        ),
        DeclaredCommands(environment="stage", release=NAME, image="shop:43"),
    ]
    service.answer("ListCommands", ListCommandsResponse(commands=SETTINGS.commands, declared=declared))
    result = await commands(service, "list shop")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.decode() == (
        "NO  COMMAND         TIMEOUT  ENVIRONMENTS  FLAGS     LINE\n"
        "1   Run migrations  10m      all           rollback  ./manage.py migrate\n"
        '2   self-test       default  live, stage   may fail  ["./check", "a b"]\n'
        "3   notify          default  all           disabled  ./notify\n"
        "\n"
        "rollback of Run migrations  ./undo\n"
        "\n"
        "declared for live  by IMAGE\n"
        "image              shop:42\n"
        "digest             shop@sha256:12\n"
        f"release            {NAME}\n"
        "\n"
        "NO  COMMAND  TIMEOUT  ENVIRONMENTS  FLAGS     LINE\n"
        "1   caches   default  all           rollback  ./clear\n"
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
