"""`releasectl commands` when somebody else has changed the settings meanwhile."""

import grpc
import pytest

from releasephase.v1.command_service_pb2 import CommandChange, ListCommandChangesResponse
from support.scripted_service import Refusal, ScriptedService
from support.settings_story import CHECK, NOTIFY, a_change, changed, commands

STALE = Refusal(grpc.StatusCode.ABORTED, "the etag is 7, and 9 by now", "STALE_ETAG")


NOT_DONE = "releasectl: the settings of shop were changed meanwhile, and this was not done. "


def refused(service: ScriptedService, *changes: CommandChange) -> None:
    """Let each change be refused, and the newest ones be asked for."""
    for method in ("CreateCommand", "UpdateCommand", "MoveCommand", "DeleteCommand"):
        changed(service, method, STALE)
    service.answer("ListCommandChanges", ListCommandChangesResponse(changes=changes))


@pytest.mark.parametrize(
    "verb", ["edit shop 1 --label x", "move shop 1 --last", "remove shop 1", "disable shop 1"]
)
async def test_a_stale_edit_says_what_has_changed(service: ScriptedService, verb: str) -> None:
    """Somebody else was faster: one message says who has done what, and how to go on."""
    refused(service, a_change(9, "REMOVED", NOTIFY, None), a_change(8, "ADDED", None, NOTIFY))
    result = await commands(service, verb)
    assert (result.exit_code, result.stdout) == (1, b"")
    assert result.stderr == (
        f"{NOT_DONE}The newest change: removed 'notify', by jane (uid 1000), "
        "at 2026-01-31T12:00:00Z. "
        "Look at releasectl commands list shop, then try again\n"
    )
    assert service.requests[-1].page_size == 2


async def test_a_script_is_told_to_read_the_etag_again(service: ScriptedService) -> None:
    """What was changed in one piece, as by an import, is not told in full."""
    refused(service, a_change(9, "EDITED", NOTIFY, NOTIFY), a_change(9, "REMOVED", CHECK, None))
    result = await commands(service, "add shop x --line ./x --if-etag 7")
    assert result.stderr == (
        f"{NOT_DONE}The newest change: edited 'notify' and more, by jane (uid 1000), "
        "at 2026-01-31T12:00:00Z. "
        "Read them and their etag again with releasectl commands list shop --json, and decide anew\n"
    )


@pytest.mark.parametrize(
    "answer", [ListCommandChangesResponse(), Refusal(grpc.StatusCode.UNAVAILABLE, "draining", "DRAINING")]
)
async def test_what_has_changed_may_not_be_known(
    service: ScriptedService, answer: ListCommandChangesResponse | Refusal
) -> None:
    """Retention may have removed it: what to do is told all the same."""
    changed(service, "DeleteCommand", STALE)
    service.answer("ListCommandChanges", answer)
    result = await commands(service, "remove shop 1")
    assert (result.exit_code, result.stderr) == (
        1,
        f"{NOT_DONE}Look at releasectl commands list shop, then try again\n",
    )


@pytest.mark.parametrize(
    ("verb", "method"),
    [
        ("edit shop 1 --label x", "UpdateCommand"),
        ("enable shop notify", "UpdateCommand"),
        ("move shop 1 --last", "MoveCommand"),
        ("remove shop 1", "DeleteCommand"),
    ],
)
async def test_a_script_says_which_etag_it_has_seen(service: ScriptedService, verb: str, method: str) -> None:
    """What it decided is based on its own reading, not on ours."""
    refused(service)
    result = await commands(service, f"{verb} --if-etag 5")
    assert result.exit_code == 1
    request = service.requests[1]
    assert (request.command if method == "UpdateCommand" else request).etag == "5"
