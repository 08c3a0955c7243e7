"""`releasectl commands move` and `remove`, against a scripted service."""

import pytest

from releasephase.v1.command_service_pb2 import Command, ListCommandsResponse
from support.scripted_service import ScriptedService
from support.settings_story import CHECK, MIGRATE, NOTIFY, a_command, changed, commands


@pytest.mark.parametrize(
    ("arguments", "position"),
    [
        ("notify --to 2", 2),
        ("notify --first", 1),
        ("1 --last", 3),
        ("notify --before 'Run migrations'", 1),
        ("notify --before 2", 2),
        ("notify --after 1", 2),
        ("1 --before notify", 2),
        ("1 --after notify", 3),
        ("1 --after self-test", 2),
    ],
)
async def test_move_counts_from_one(service: ScriptedService, arguments: str, position: int) -> None:
    """A number is the one that the command has afterwards."""
    changed(service, "MoveCommand", a_command(9, "notify"))
    result = await commands(service, f"move shop {arguments}")
    assert result.exit_code == 0, result.stderr
    assert (service.requests[1].position, service.requests[1].etag) == (position, "7")


async def test_move_says_from_where_to_where(service: ScriptedService) -> None:
    """The number before and the one after."""
    moved = Command()
    moved.CopyFrom(NOTIFY)
    moved.position = 1
    changed(service, "MoveCommand", moved)
    result = await commands(service, "move shop notify --first")
    assert result.stderr == "'notify' of shop: number: 3 -> 1\n"
    assert service.requests[1].name == NOTIFY.name


async def test_remove_says_what_is_left(service: ScriptedService) -> None:
    """It is named by its resource name, with the etag that it was read with."""
    changed(service, "DeleteCommand", ListCommandsResponse(commands=[MIGRATE]))
    result = await commands(service, "remove shop self-test")
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr == "removed 'self-test' from shop, which has 1 command now\n"
    assert (service.requests[1].name, service.requests[1].etag) == (CHECK.name, "7")
