"""`releasectl commands` when somebody else has changed the settings meanwhile."""

import grpc
import pytest

from support.scripted_service import Refusal, ScriptedService
from support.settings_story import changed, commands

STALE = Refusal(grpc.StatusCode.ABORTED, "the etag is 7, and 9 by now", "STALE_ETAG")


@pytest.mark.parametrize(
    "verb", ["edit shop 1 --label x", "move shop 1 --last", "remove shop 1", "disable shop 1"]
)
async def test_a_stale_edit_says_what_to_do(service: ScriptedService, verb: str) -> None:
    """Somebody else was faster: nothing was done, and it is said how to go on."""
    for method in ("UpdateCommand", "MoveCommand", "DeleteCommand"):
        changed(service, method, STALE)
    result = await commands(service, verb)
    assert (result.exit_code, result.stdout) == (1, b"")
    assert result.stderr == (
        "the settings of shop were changed meanwhile, and this was not done; "
        "look at releasectl commands history shop, then try again\n"
        "releasectl: the etag is 7, and 9 by now\n"
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
    changed(service, method, STALE)
    result = await commands(service, f"{verb} --if-etag 5")
    assert result.exit_code == 1
    request = service.requests[1]
    assert (request.command if method == "UpdateCommand" else request).etag == "5"
