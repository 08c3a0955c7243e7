"""The Python client's calls about an application's settings, against a scripted service."""

import grpc
import pytest

from releasectl import ReleaseClient, StaleEtag
from releasephase.v1.command_service_pb2 import (
    Command,
    CreateCommandRequest,
    DeleteCommandRequest,
    ListCommandChangesRequest,
    ListCommandChangesResponse,
    ListCommandsRequest,
    ListCommandsResponse,
    MoveCommandRequest,
    ReplaceCommandsRequest,
    UpdateCommandRequest,
)
from support.scripted_service import Refusal, ScriptedService

PARENT = "applications/shop"
NAME = f"{PARENT}/commands/01939d3b-7e4a-7cc3-98c4-dc0c0c07398f"
MIGRATE = Command(name=NAME, label="migrate", line="./migrate", position=1, etag="7")
LIST = ListCommandsResponse(commands=[MIGRATE], etag="7")


async def test_the_list_is_asked_for_by_the_application(
    service: ScriptedService, agent: ReleaseClient
) -> None:
    """An application is named by its slug."""
    service.answer("ListCommands", LIST)
    assert await agent.list_commands("shop") == LIST
    assert service.requests == [ListCommandsRequest(parent=PARENT)]


async def test_every_change_passes_its_arguments(service: ScriptedService, agent: ReleaseClient) -> None:
    """What can be said in the contract can be said in Python."""
    for method in ("CreateCommand", "UpdateCommand", "MoveCommand"):
        service.answer(method, MIGRATE)
    for method in ("DeleteCommand", "ReplaceCommands"):
        service.answer(method, LIST)
    assert await agent.create_command("shop", MIGRATE, position=2, etag="6") == MIGRATE
    assert await agent.update_command(MIGRATE) == MIGRATE
    assert await agent.move_command(NAME, 3, etag="6") == MIGRATE
    assert await agent.delete_command(NAME, etag="6") == LIST
    assert await agent.replace_commands("shop", [MIGRATE], etag="6") == LIST
    assert service.requests == [
        CreateCommandRequest(parent=PARENT, command=MIGRATE, position=2, etag="6"),
        UpdateCommandRequest(command=MIGRATE),
        MoveCommandRequest(name=NAME, position=3, etag="6"),
        DeleteCommandRequest(name=NAME, etag="6"),
        ReplaceCommandsRequest(parent=PARENT, commands=[MIGRATE], etag="6"),
    ]


async def test_changes_are_asked_for_by_the_page(service: ScriptedService, agent: ReleaseClient) -> None:
    """As many at once as the caller wants."""
    page = ListCommandChangesResponse(next_page_token="b")
    service.answer("ListCommandChanges", page)
    assert await agent.list_command_changes_page("shop", page_size=7, page_token="a") == page
    assert service.requests == [ListCommandChangesRequest(parent=PARENT, page_size=7, page_token="a")]


async def test_a_stale_etag_can_be_caught(service: ScriptedService, agent: ReleaseClient) -> None:
    """Whoever changes settings by program reads them again then."""
    service.answer("UpdateCommand", Refusal(grpc.StatusCode.ABORTED, "changed", "STALE_ETAG"))
    with pytest.raises(StaleEtag, match=r"^changed$"):
        await agent.update_command(MIGRATE)
