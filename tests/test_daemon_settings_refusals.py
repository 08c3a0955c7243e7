"""What may not be done with applications' settings, and who was faster, with the whole daemon."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from released.model.command_form import LONGEST_LINE, MOST_COMMANDS
from releasephase.v1.command_service_pb2 import (
    Command,
    DeleteCommandRequest,
    ListCommandChangesRequest,
    ListCommandsRequest,
    MoveCommandRequest,
    ReplaceCommandsRequest,
    UpdateCommandRequest,
)
from releasephase.v1.release_pb2 import Argv
from support.app import App, seconds
from support.application_settings import NOBODY, SHOP, a_line, as_dict, changes, create, labels, listed
from support.rpc_errors import details_of, refused

VIOLATIONS = [
    (a_line(""), ["command.label"]),
    (a_line("two\nlines"), ["command.label"]),
    (a_line("x" * 201), ["command.label"]),
    (a_line(line=" "), ["command.line"]),
    (a_line(line="x" * (LONGEST_LINE + 1)), ["command.line"]),
    (Command(label="a"), ["command"]),
    (Command(label="a", argv=Argv()), ["command.argv"]),
    (a_line(timeout=seconds(0)), ["command.timeout"]),
    (a_line(timeout=seconds(8 * 86400)), ["command.timeout"]),
    (a_line(rollback=" "), ["command.rollback"]),
    (a_line(environments=["live", "Live", "live"]), ["command.environments[1]", "command.environments[2]"]),
    (a_line(environments=["live"] * 101), ["command.environments"]),
    (a_line("", "", environments=[""]), ["command.label", "command.line", "command.environments[0]"]),
]


async def violated(call: Any) -> list[str]:
    error = await refused(call)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error
    return [violation.field for violation in details_of(error)[1].field_violations]


@pytest.mark.parametrize(("command", "fields"), VIOLATIONS)
async def test_bad_command(idle: App, command: Command, fields: list[str]) -> None:
    """Every field that is wrong is named at once, whether it is added, edited, or one of a list."""
    assert await violated(create(idle, command)) == fields
    assert await violated(create(idle, command, parent="shop", position=-1)) == [
        "parent",
        *fields,
        "position",
    ]
    command.name = NOBODY
    update = UpdateCommandRequest(command=command)
    assert await violated(idle.commands.UpdateCommand(update)) == fields
    replace = ReplaceCommandsRequest(parent=SHOP, commands=[a_line("fine"), command])
    in_list = [field.replace("command", "commands[1]", 1) for field in fields]
    assert await violated(idle.commands.ReplaceCommands(replace)) == in_list
    assert as_dict(await listed(idle)) == {"etag": "0"}


@pytest.mark.parametrize(
    "name",
    [
        "",
        "shop",
        "applications/",
        "applications/Shop",
        "applications/shop/",
        "releases/shop",
        f"{NOBODY}x",
        NOBODY.upper(),
        "applications/shop/commands/",
        "applications/a/b/commands/01900000-0000-7000-8000-000000000001",
    ],
)
async def test_bad_names(idle: App, name: str) -> None:
    """They are the form's fault, not that of what is not there."""
    stub = idle.commands
    assert await violated(stub.ListCommands(ListCommandsRequest(parent=name))) == ["parent"]
    assert await violated(stub.ListCommandChanges(ListCommandChangesRequest(parent=name))) == ["parent"]
    assert await violated(stub.ReplaceCommands(ReplaceCommandsRequest(parent=name))) == ["parent"]
    assert await violated(stub.DeleteCommand(DeleteCommandRequest(name=name))) == ["name"]
    assert await violated(stub.MoveCommand(MoveCommandRequest(name=name))) == ["name", "position"]
    update = UpdateCommandRequest(command=a_line(name=name))
    assert await violated(stub.UpdateCommand(update)) == ["command.name"]


async def test_bad_lists_positions_and_pages(idle: App) -> None:
    """A label twice, too many, a position that there is not, a page that nobody gave."""
    stub = idle.commands
    twice = ReplaceCommandsRequest(parent=SHOP, commands=[a_line("a"), a_line("b"), a_line("a")])
    assert await violated(stub.ReplaceCommands(twice)) == ["commands[2].label"]
    many = [a_line(str(number)) for number in range(MOST_COMMANDS + 1)]
    assert await violated(stub.ReplaceCommands(ReplaceCommandsRequest(parent=SHOP, commands=many))) == [
        "commands"
    ]
    assert await violated(create(idle, a_line(), position=2)) == ["position"]
    created = await create(idle, a_line())
    assert await violated(stub.MoveCommand(MoveCommandRequest(name=created.name, position=2))) == ["position"]
    assert await violated(changes(idle, page_size=-1)) == ["page_size"]
    assert await violated(changes(idle, page_token="nonsense")) == ["page_token"]
    assert await labels(idle) == ["migrate"]


async def test_what_there_is_not_or_is_already(idle: App) -> None:
    """For programs: a code, and a reason."""
    await create(idle, a_line("a"))
    other = await create(idle, a_line("b"))
    stub = idle.commands

    async def answer(call: Any) -> tuple[grpc.StatusCode, str]:
        error = await refused(call)
        return error.code(), details_of(error)[0].reason

    absent = (grpc.StatusCode.NOT_FOUND, "COMMAND_NOT_FOUND")
    taken = (grpc.StatusCode.ALREADY_EXISTS, "LABEL_TAKEN")
    assert await answer(stub.DeleteCommand(DeleteCommandRequest(name=NOBODY))) == absent
    assert await answer(stub.MoveCommand(MoveCommandRequest(name=NOBODY, position=1))) == absent
    rename = UpdateCommandRequest(command=a_line("c", name=NOBODY))
    assert await answer(stub.UpdateCommand(rename)) == absent
    assert await answer(create(idle, a_line("a"))) == taken
    again = details_of(await refused(create(idle, a_line("a"))))[0].metadata
    different = details_of(await refused(create(idle, a_line("a", line="false"))))[0].metadata
    assert (again["identical"], different["identical"]) == ("true", "false")
    rename.command.MergeFrom(Command(name=other.name, label="a"))
    assert await answer(stub.UpdateCommand(rename)) == taken
    elsewhere = other.name.replace("shop", "blog")
    assert await answer(stub.DeleteCommand(DeleteCommandRequest(name=elsewhere))) == absent
    await stub.ReplaceCommands(
        ReplaceCommandsRequest(parent=SHOP, commands=[a_line(str(n)) for n in range(MOST_COMMANDS)])
    )
    assert await answer(create(idle, a_line("one more"))) == (
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_COMMANDS",
    )


async def test_of_edits_at_the_same_time_one_wins(idle: App) -> None:
    """All others are ABORTED, with the etag to look at it again; nothing of theirs is left."""
    created = await create(idle, a_line())

    def edit(number: int) -> Any:
        command = a_line(f"label {number}", name=created.name, etag=created.etag)
        return idle.commands.UpdateCommand(UpdateCommandRequest(command=command))

    answers = await asyncio.gather(*map(edit, range(20)), return_exceptions=True)
    won = [answer for answer in answers if isinstance(answer, Command)]
    lost = [answer for answer in answers if isinstance(answer, grpc.aio.AioRpcError)]
    assert (len(won), len(lost)) == (1, 19)
    for error in lost:
        info, _ = details_of(error)
        assert (error.code(), info.reason) == (grpc.StatusCode.ABORTED, "STALE_ETAG")
        assert dict(info.metadata) == {"etag": "2"}
    assert list((await listed(idle)).commands) == won
    assert len(await changes(idle)) == 2


@pytest.mark.parametrize("method", ["create", "create by the command", "update", "move", "delete", "replace"])
async def test_stale_etag_is_refused_by_every_method(idle: App, method: str) -> None:
    """It is of a list that is no more."""
    created = await create(idle, a_line())
    await create(idle, a_line("another"))
    stale, stub = created.etag, idle.commands
    calls: dict[str, Any] = {
        "create": lambda: create(idle, a_line("new"), etag=stale),
        "create by the command": lambda: create(idle, a_line("new", etag=stale)),
        "update": lambda: stub.UpdateCommand(UpdateCommandRequest(command=created)),
        "move": lambda: stub.MoveCommand(MoveCommandRequest(name=created.name, position=2, etag=stale)),
        "delete": lambda: stub.DeleteCommand(DeleteCommandRequest(name=created.name, etag=stale)),
        "replace": lambda: stub.ReplaceCommands(ReplaceCommandsRequest(parent=SHOP, etag=stale)),
    }
    error = await refused(calls[method]())
    assert (error.code(), details_of(error)[0].reason) == (grpc.StatusCode.ABORTED, "STALE_ETAG")
    assert await labels(idle) == ["migrate", "another"]
