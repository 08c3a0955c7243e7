"""`releasectl commands history` as a process of its own, against a scripted service."""

from google.protobuf.duration_pb2 import Duration

from releasephase.v1.command_service_pb2 import ListCommandChangesResponse
from support.scripted_service import ScriptedService
from support.settings_story import CHECK, MIGRATE, NOTIFY, a_change, a_command, commands


async def test_history_says_who_changed_what(service: ScriptedService) -> None:
    """What was done in one piece stands together; of an edit, only what differs."""
    edited = a_command(
        3,
        "tell",
        line="./notify --all",
        timeout=Duration(seconds=60),
        environments=["live"],
        rollback="./undo",
    )
    changes = [
        a_change(40, "REMOVED", CHECK, None),
        a_change(40, "EDITED", NOTIFY, edited),
        a_change(12, "MOVED", a_command(3, "notify"), a_command(1, "notify")),
        a_change(7, "ADDED", None, MIGRATE),
    ]
    service.answer("ListCommandChanges", ListCommandChangesResponse(changes=changes, next_page_token="b c"))
    result = await commands(service, "history shop --limit 4 --page-token a")
    assert result.stdout.decode() == (
        "event 40  2026-01-31T12:00:00Z by jane (uid 1000)\n"
        "removed   self-test\n"
        "          number: 2\n"
        '          line: ["./check", "a b"]\n'
        "          environments: live, stage\n"
        "          allow-failure: yes\n"
        "edited    notify\n"
        "          label: notify -> tell\n"
        "          line: ./notify -> ./notify --all\n"
        "          timeout: default -> 1m\n"
        "          environments: all -> live\n"
        "          rollback: none -> ./undo\n"
        "          disabled: yes -> no\n"
        "\n"
        "event 12  2026-01-31T12:00:00Z by jane (uid 1000)\n"
        "moved     notify\n"
        "          number: 3 -> 1\n"
        "\n"
        "event 7  2026-01-31T12:00:00Z by jane (uid 1000)\n"
        "added    Run migrations\n"
        "         number: 1\n"
        "         line: ./manage.py migrate\n"
        "         timeout: 10m\n"
        "         rollback: ./undo\n"
    )
    assert result.stderr == "older ones: releasectl commands history shop --limit 4 --page-token 'b c'\n"
    assert (service.requests[0].page_size, service.requests[0].page_token) == (4, "a")


async def test_no_changes_are_a_message(service: ScriptedService) -> None:
    """Nothing goes to stdout."""
    service.answer("ListCommandChanges", ListCommandChangesResponse())
    result = await commands(service, "history shop")
    assert (result.exit_code, result.stdout, result.stderr) == (0, b"", "no changes\n")
