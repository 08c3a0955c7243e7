"""`releasectl commands` as a process of its own, against a scripted service."""

import json
import shlex
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from releasephase.v1.command_service_pb2 import (
    Command,
    CommandChange,
    DeclaredCommands,
    ListCommandChangesResponse,
    ListCommandsResponse,
)
from releasephase.v1.release_pb2 import Argv, Caller, CommandRun
from support.command_line import Result, releasectl, terminal
from support.scripted_service import Refusal, ScriptedService
from support.story import BEGIN, NAME, timestamp

STALE = Refusal(grpc.StatusCode.ABORTED, "the etag is 7, and 9 by now", "STALE_ETAG")


def a_command(number: int, label: str, **fields: Any) -> Command:
    """A command of the application shop."""
    if "argv" not in fields:
        fields.setdefault("line", f"./{label}")
    name = f"applications/shop/commands/01939d3b-7e4a-7cc3-98c4-{number:012}"
    return Command(name=name, label=label, position=number, etag="7", **fields)


MIGRATE = a_command(
    1, "Run migrations", line="./manage.py migrate", timeout=Duration(seconds=600), rollback="./undo"
)
CHECK = a_command(
    2,
    "self-test",
    argv=Argv(arguments=["./check", "a b"]),
    environments=["live", "stage"],
    allow_failure=True,
)
NOTIFY = a_command(3, "notify", disabled=True)
SETTINGS = ListCommandsResponse(commands=[MIGRATE, CHECK, NOTIFY], etag="7")
NONE = ListCommandsResponse(etag="0")


async def commands(service: ScriptedService, line: str) -> Result:
    return await releasectl(service.socket, "commands", *shlex.split(line))


def changed(service: ScriptedService, method: str, answer: Command | ListCommandsResponse | Refusal) -> None:
    """Let the settings be read, and then changed."""
    service.answer("ListCommands", SETTINGS)
    service.answer(method, answer)


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
        "2   self-test       default  live, stage   may fail  ./check 'a b'\n"
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


@pytest.mark.parametrize(
    ("arguments", "command", "position", "etag"),
    [
        ("migrate --line './manage.py migrate'", Command(label="migrate", line="./manage.py migrate"), 0, ""),
        (
            "check --exec './check \"a b\"'",
            Command(label="check", argv=Argv(arguments=["./check", "a b"])),
            0,
            "",
        ),
        (
            "all --line x --timeout 1m30s --environment live --environment stage --allow-failure"
            " --rollback y --disabled --position 2 --if-etag 7",
            Command(
                label="all",
                line="x",
                timeout=Duration(seconds=90),
                environments=["live", "stage"],
                allow_failure=True,
                rollback="y",
                disabled=True,
            ),
            2,
            "7",
        ),
    ],
)
async def test_add_says_what_is_given(
    service: ScriptedService, arguments: str, command: Command, position: int, etag: str
) -> None:
    """What is left out is left to the daemon."""
    service.answer("CreateCommand", CHECK)
    result = await commands(service, f"add shop {arguments}")
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr == "added 'self-test' to shop as number 2\n"
    (request,) = service.requests
    assert (request.parent, request.command) == ("applications/shop", command)
    assert (request.position, request.etag) == (position, etag)


@pytest.mark.parametrize(
    ("arguments", "fields", "told"),
    [
        ("'Run migrations' --label migrate", {"label": "migrate"}, "label: Run migrations -> migrate"),
        ("1 --line ./migrate", {"line": "./migrate"}, "line: ./manage.py migrate -> ./migrate"),
        ("1 --timeout 20m", {"timeout": Duration(seconds=1200)}, "timeout: 10m -> 20m"),
        ("1 --default-timeout", {"timeout": None}, "timeout: 10m -> default"),
        ("1 --rollback ''", {"rollback": ""}, "rollback: ./undo -> none"),
        ("1 --environment live", {"environments": ["live"]}, "environments: all -> live"),
        ("1 --allow-failure", {"allow_failure": True}, "may fail: no -> yes"),
        ("1 --no-allow-failure", {}, "nothing changed, it was so before"),
    ],
)
async def test_edit_changes_what_is_named(
    service: ScriptedService, arguments: str, fields: dict[str, Any], told: str
) -> None:
    """All else is sent back as it was read, with the etag that it was read with."""
    known = {field.name: value for field, value in MIGRATE.ListFields()}
    expected = Command(**known | fields)
    changed(service, "UpdateCommand", expected)
    result = await commands(service, f"edit shop {arguments}")
    assert (result.exit_code, result.stdout) == (0, b"")
    assert result.stderr == f"'Run migrations' of shop: {told}\n"
    assert service.requests[1].command == expected


async def test_edit_turns_a_program_into_a_line_and_back(service: ScriptedService) -> None:
    """A command is one of the two."""
    changed(service, "UpdateCommand", CHECK)
    await commands(service, "edit shop self-test --line ./check --all-environments")
    await commands(service, "edit shop 'Run migrations' --exec './manage.py migrate'")
    line, program = service.requests[1].command, service.requests[3].command
    assert (line.WhichOneof("command"), line.line, list(line.environments)) == ("line", "./check", [])
    assert list(program.argv.arguments) == ["./manage.py", "migrate"]


async def test_edit_keeps_what_a_newer_daemon_has_added(service: ScriptedService) -> None:
    """All of a command's fields count: what is not known here must not be lost."""
    newer = Command()
    newer.MergeFromString(NOTIFY.SerializeToString() + b"\xfa\x7f\x03new")  # field 2047
    service.answer("ListCommands", ListCommandsResponse(commands=[newer], etag="7"))
    service.answer("UpdateCommand", newer)
    await commands(service, "enable shop notify")
    assert service.requests[1].command.SerializeToString().endswith(b"\xfa\x7f\x03new")


async def test_enable_and_disable(service: ScriptedService) -> None:
    """A command is passed over, or not any more."""
    changed(service, "UpdateCommand", a_command(3, "notify"))
    result = await commands(service, "enable shop notify")
    assert result.stderr == "'notify' of shop: disabled: yes -> no\n"
    await commands(service, "disable shop 1")
    assert [service.requests[number].command.disabled for number in (1, 3)] == [False, True]
    assert [service.requests[number].command.etag for number in (1, 3)] == ["7", "7"]


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


@pytest.mark.parametrize("verb", ["edit shop {} --label x", "move shop {} --last", "remove shop {}"])
async def test_an_unknown_command_names_those_there_are(service: ScriptedService, verb: str) -> None:
    """By number and label, so that the next try succeeds."""
    service.answer("ListCommands", SETTINGS, NONE)
    result = await commands(service, verb.format("migrations"))
    known = "1 'Run migrations', 2 'self-test', 3 'notify'"
    assert result.stderr == f"releasectl: shop has no command 'migrations'; it has {known}\n"
    assert result.exit_code == 3
    result = await commands(service, verb.format("0"))
    assert result.stderr == "releasectl: shop has no command '0'; it has none at all\n"
    assert len(service.requests) == 2


async def test_a_number_that_is_a_label_of_another_is_ambiguous(service: ScriptedService) -> None:
    """The wrong command is not removed by chance; a label that is no number there is one."""
    odd = ListCommandsResponse(commands=[a_command(1, "2"), a_command(2, "1"), a_command(3, "404")])
    service.answer("ListCommands", odd)
    service.answer("DeleteCommand", NONE)
    result = await commands(service, "remove shop 1")
    assert result.exit_code == 2
    assert (
        "'1' is the number of one command and the label of another; shop has 1 '2', 2 '1', 3 '404'"
        in result.stderr
    )
    assert len(service.requests) == 1
    assert (await commands(service, "remove shop 404")).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("list shop/live", "write APP, such as shop, not 'shop/live'"),
        ("add shop migrate", "say what is to run, with --line or --exec"),
        ("add shop migrate --line a --exec b", "give --line or --exec, not both"),
        ('add shop migrate --exec "a \'b"', "can't be split as a shell does: No closing quotation"),
        ("add shop migrate --exec ''", "a program is written 'program arguments'"),
        ("add shop migrate --line a --position 0", "--position"),
        ("add shop migrate --line a --if-etag ''", "an etag is not empty"),
        ("edit shop migrate", "say what is to be different, such as --line or --timeout"),
        ("edit shop 1 --timeout 5m --default-timeout", "--timeout or --default-timeout, not both"),
        ("edit shop 1 --environment a --all-environments", "--environment or --all-environments, not both"),
        ("move shop 1", "say where to, with one of --to, --first, --last, --before and --after"),
        ("move shop 1 --to 2 --last", "say where to, with one of"),
        ("move shop 1 --before 'Run migrations'", "'Run migrations' can't go next to itself"),
    ],
)
async def test_wrong_usage_is_2(service: ScriptedService, arguments: str, message: str) -> None:
    """Nothing is changed."""
    service.answer("ListCommands", SETTINGS)
    result = await commands(service, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert len(service.requests) <= 1


async def test_a_taken_label_is_2(service: ScriptedService) -> None:
    """The daemon's words say which one."""
    refusal = Refusal(grpc.StatusCode.ALREADY_EXISTS, "shop has a command 'x' already", "LABEL_TAKEN")
    service.answer("CreateCommand", refusal)
    result = await commands(service, "add shop x --line ./x")
    assert (result.exit_code, result.stderr) == (2, "releasectl: shop has a command 'x' already\n")


@pytest.mark.parametrize(
    ("verb", "field", "value"),
    [
        ("list shop", "etag", "7"),
        ("add shop notify --line x", "label", "notify"),
        ("edit shop 3 --line x", "label", "notify"),
        ("enable shop 3", "label", "notify"),
        ("disable shop 3", "label", "notify"),
        ("move shop 3 --first", "label", "notify"),
        ("remove shop 3", "etag", "7"),
        ("history shop", "next_page_token", "t"),
    ],
)
async def test_json_is_what_the_daemon_answered(
    service: ScriptedService, verb: str, field: str, value: str
) -> None:
    """One object, and no message beside it."""
    changed(service, "DeleteCommand", SETTINGS)
    for method in ("CreateCommand", "UpdateCommand", "MoveCommand"):
        service.answer(method, NOTIFY)
    service.answer("ListCommandChanges", ListCommandChangesResponse(next_page_token="t"))
    result = await commands(service, f"{verb} --json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout)[field] == value


def a_change(sequence: int, action: str, before: Command | None, after: Command | None) -> CommandChange:
    return CommandChange(
        sequence=sequence,
        event_time=timestamp(BEGIN),
        caller=Caller(uid=1000, user="jane"),
        action=CommandChange.Action.Value(f"ACTION_{action}"),
        before=before,
        after=after,
    )


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
        "          line: ./check 'a b'\n"
        "          environments: live, stage\n"
        "          may fail: yes\n"
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
