"""Applications' settings, as clients manage them: short forms of the calls, and a daemon for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from releasephase.v1.command_service_pb2 import (
    Command,
    CommandChange,
    CreateCommandRequest,
    ListCommandChangesRequest,
    ListCommandsRequest,
    ListCommandsResponse,
)
from support.app import App, serving_app

SHOP = "applications/shop"
NOBODY = f"{SHOP}/commands/01900000-0000-7000-8000-000000000001"


def a_line(label: str = "migrate", line: str = "true", **fields: Any) -> Command:
    return Command(label=label, line=line, **fields)


async def create(app: App, command: Command, **fields: Any) -> Command:
    return await app.commands.CreateCommand(
        CreateCommandRequest(**{"parent": SHOP, "command": command, **fields})
    )


async def listed(app: App, parent: str = SHOP) -> ListCommandsResponse:
    return await app.commands.ListCommands(ListCommandsRequest(parent=parent))


async def labels(app: App) -> list[str]:
    return [command.label for command in (await listed(app)).commands]


async def changes(app: App, **fields: Any) -> list[tuple[str, str, int, int]]:
    """What was done, the newest first: the action, the label, and the positions before and after."""
    request = ListCommandChangesRequest(parent=SHOP, **fields)
    return [
        (
            CommandChange.Action.Name(change.action).removeprefix("ACTION_"),
            change.after.label or change.before.label,
            change.before.position,
            change.after.position,
        )
        for change in (await app.commands.ListCommandChanges(request)).changes
    ]


def as_dict(message: Any) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)


@pytest.fixture
async def idle() -> AsyncIterator[App]:
    """A daemon without an engine: settings need none."""
    async with serving_app("unix:///nowhere/engine.sock", "absent:1") as app:
        yield app
