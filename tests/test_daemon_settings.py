"""Applications' settings, with the whole daemon: managed through the contract."""

from __future__ import annotations

import grpc
import pytest

from released.model.command_form import LONGEST_LINE
from released.settings.edits import LARGEST_SETTINGS
from releasephase.v1.audit_service_pb2 import ListEventsRequest
from releasephase.v1.command_service_pb2 import (
    Command,
    CommandChange,
    DeleteCommandRequest,
    ListCommandChangesRequest,
    MoveCommandRequest,
    ReplaceCommandsRequest,
    UpdateCommandRequest,
)
from releasephase.v1.release_pb2 import Argv
from support.app import App, seconds
from support.application_settings import NOBODY, SHOP, a_line, as_dict, changes, create, labels, listed


async def test_command_with_everything(idle: App) -> None:
    """It comes back as it was sent, with a name, a position and an etag."""
    await create(idle, a_line("first"))
    command = Command(
        label="Check the câche",
        argv=Argv(arguments=["manage.py", "check it"]),
        timeout=seconds(90.5),
        environments=["live", "test"],
        allow_failure=True,
        rollback="undo it",
        disabled=True,
    )
    created = await create(idle, command)
    assert as_dict(created) == {
        **as_dict(command),
        "name": created.name,
        "position": 2,
        "etag": "2",
    }
    assert created.name.startswith(f"{SHOP}/commands/0")
    response = await listed(idle)
    assert (response.commands[1], response.etag) == (created, "2")
    assert [command.etag for command in response.commands] == ["2", "2"]


async def test_application_without_settings(idle: App) -> None:
    """It has none, and an etag for that; an application need not have had releases."""
    assert as_dict(await listed(idle)) == {"etag": "0"}
    assert (await create(idle, a_line(), etag="0")).position == 1


async def test_positions(idle: App) -> None:
    """In the order in which they were added, unless a position was asked for."""
    for label, position in (("a", 0), ("b", 0), ("c", 1), ("d", 2), ("e", 5)):
        await create(idle, a_line(label), position=position)
    assert await labels(idle) == ["c", "d", "a", "b", "e"]
    moved = await idle.commands.MoveCommand(
        MoveCommandRequest(name=(await listed(idle)).commands[0].name, position=4)
    )
    assert (moved.label, moved.position) == ("c", 4)
    assert await labels(idle) == ["d", "a", "b", "c", "e"]


async def test_update_changes_all_but_name_and_position(idle: App) -> None:
    """Also what is left out: it is as if it had been added like that."""
    await create(idle, a_line("first"))
    created = await create(idle, a_line(timeout=seconds(5), environments=["live"], rollback="undo"))
    updated = await idle.commands.UpdateCommand(
        UpdateCommandRequest(command=a_line("renamed", "false", name=created.name, position=1))
    )
    assert updated == a_line("renamed", "false", name=created.name, position=2, etag="3")
    assert (await listed(idle)).commands[1] == updated


async def test_delete_returns_what_is_left(idle: App) -> None:
    """And the etag to go on with."""
    first, second = await create(idle, a_line("a")), await create(idle, a_line("b"))
    left = await idle.commands.DeleteCommand(DeleteCommandRequest(name=first.name))
    assert left == await listed(idle)
    assert [(command.name, command.position) for command in left.commands] == [(second.name, 1)]
    empty = await idle.commands.DeleteCommand(DeleteCommandRequest(name=second.name, etag=left.etag))
    assert as_dict(empty) == {"etag": "4"}


async def test_replace_keeps_commands_by_their_labels(idle: App) -> None:
    """All at once, as one change; the same list again is none."""
    names = {label: (await create(idle, a_line(label))).name for label in "abc"}
    wanted = [a_line("c"), a_line("new"), a_line("a", "false", name=NOBODY, position=7)]
    request = ReplaceCommandsRequest(parent=SHOP, commands=wanted, etag="3")
    after = await idle.commands.ReplaceCommands(request)
    assert [command.label for command in after.commands] == ["c", "new", "a"]
    assert [command.name == names.get(command.label) for command in after.commands] == [True, False, True]
    assert (after.commands[2].line, after.etag) == ("false", "4")
    again = await idle.commands.ReplaceCommands(
        ReplaceCommandsRequest(parent=SHOP, commands=wanted, etag="4")
    )
    assert again == after
    assert (await changes(idle))[:4] == [
        ("REMOVED", "b", 2, 0),
        ("ADDED", "new", 0, 2),
        ("EDITED", "a", 1, 3),
        ("ADDED", "c", 0, 3),
    ]


async def test_replace_that_is_only_validated_changes_nothing(idle: App) -> None:
    """It returns what would be there, with the etag of what is, and checks the one that it was given."""
    await create(idle, a_line("a"))
    before = await listed(idle)
    request = ReplaceCommandsRequest(
        parent=SHOP, commands=[a_line("b"), a_line("a")], etag="1", validate_only=True
    )
    would_be = await idle.commands.ReplaceCommands(request)
    assert ([command.label for command in would_be.commands], would_be.etag) == (["b", "a"], "1")
    request.etag = "7"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await idle.commands.ReplaceCommands(request)
    assert refused.value.code() is grpc.StatusCode.ABORTED
    assert await listed(idle) == before
    assert len(await changes(idle)) == 1


async def test_history_says_who_changed_what(idle: App) -> None:
    """As the kernel says, when it was, and how it was before."""
    created = await create(idle, a_line())
    edited = a_line(name=created.name, disabled=True)
    await idle.commands.UpdateCommand(UpdateCommandRequest(command=edited))
    response = await idle.commands.ListCommandChanges(ListCommandChangesRequest(parent=SHOP))
    edit, addition = response.changes
    assert (edit.action, edit.sequence) == (CommandChange.ACTION_EDITED, 2)
    assert edit.before == a_line(name=created.name, position=1)
    assert edit.after == a_line(name=created.name, position=1, disabled=True)
    assert (addition.action, addition.HasField("before")) == (CommandChange.ACTION_ADDED, False)
    assert edit.caller.uid == addition.caller.uid == 0
    assert edit.caller.executable
    assert addition.event_time.ToNanoseconds() < edit.event_time.ToNanoseconds()


@pytest.mark.parametrize("page_size", [1, 2, 3, 7, 1000])
async def test_history_in_pages(idle: App, page_size: int) -> None:
    """Nothing is twice or missing, though one event tells of several changes and new ones come meanwhile."""
    await idle.commands.ReplaceCommands(
        ReplaceCommandsRequest(parent=SHOP, commands=[a_line(label) for label in "abcd"])
    )
    for label in "xyz":
        await create(idle, a_line(label))
    expected = [("ADDED", label) for label in "zyxabcd"]
    found: list[tuple[str, str]] = []
    token = ""
    while True:
        request = ListCommandChangesRequest(parent=SHOP, page_size=page_size, page_token=token)
        response = await idle.commands.ListCommandChanges(request)
        found += [
            (CommandChange.Action.Name(each.action).removeprefix("ACTION_"), each.after.label)
            for each in response.changes
        ]
        assert len(response.changes) <= page_size
        token = response.next_page_token
        if not token:
            break
        await create(idle, a_line(f"later {len(found)}"))
    assert found == expected


async def test_large_changes_come_in_pages_that_a_client_takes(idle: App) -> None:
    """Each tells of a whole command twice."""
    created = await create(idle, a_line(line="x" * LONGEST_LINE, rollback="y" * LONGEST_LINE))
    for number in range(20):
        created.label = f"label {number}"
        created.etag = ""
        await idle.commands.UpdateCommand(UpdateCommandRequest(command=created))
    sizes: list[int] = []
    token = ""
    while token or not sizes:
        request = ListCommandChangesRequest(parent=SHOP, page_size=1000, page_token=token)
        response = await idle.commands.ListCommandChanges(request)
        sizes.append(len(response.changes))
        token = response.next_page_token
    assert (sum(sizes), len(sizes) > 1) == (21, True)


async def test_largest_settings_can_be_told_of(idle: App) -> None:
    """All of them were changed at once: the event has them three times."""
    count = LARGEST_SETTINGS // LONGEST_LINE - 1
    for character in "xy":
        wanted = [a_line(str(number), character * LONGEST_LINE) for number in range(count)]
        request = ReplaceCommandsRequest(parent=SHOP, commands=wanted)
        assert len((await idle.commands.ReplaceCommands(request)).commands) == count
    assert len((await listed(idle)).commands) == count
    events = await idle.audit.ListEvents(ListEventsRequest(filter="kind = commands_changed AND sequence = 2"))
    assert len(events.events[0].body) > 2.5 * LARGEST_SETTINGS
