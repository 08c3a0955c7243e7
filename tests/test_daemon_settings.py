"""Applications' settings, with the whole daemon: managed through the contract, taken by releases."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.json_format import MessageToDict

from released.crash import VARIABLE, CrashPoint
from released.model.command_form import LONGEST_LINE, MOST_COMMANDS
from released.model.events import CommandsResolved, ImageResolved, StateChanged
from released.model.states import ReleaseState, Source
from released.settings.edits import LARGEST_SETTINGS
from releasephase.v1 import command_service_pb2_grpc
from releasephase.v1.audit_service_pb2 import ListEventsRequest
from releasephase.v1.command_service_pb2 import (
    Command,
    CommandChange,
    CreateCommandRequest,
    DeleteCommandRequest,
    ListCommandChangesRequest,
    ListCommandsRequest,
    ListCommandsResponse,
    MoveCommandRequest,
    ReplaceCommandsRequest,
    UpdateCommandRequest,
)
from releasephase.v1.release_pb2 import Argv, CommandRun
from support import audit_log
from support.app import App, seconds, serving_app
from support.other_user import OtherUser, other_user
from support.process import DaemonProcess, daemon_in_memory
from support.rpc_errors import details_of, refused
from support.samples import OTHER_RELEASE, RELEASE, a_command, accepted
from support.users import Users

SHOP = "applications/shop"
NOBODY = f"{SHOP}/commands/01900000-0000-7000-8000-000000000001"


@pytest.fixture
async def idle() -> AsyncIterator[App]:
    """A daemon without an engine: settings need none."""
    async with serving_app("unix:///nowhere/engine.sock", "absent:1") as app:
        yield app


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


async def test_release_takes_the_settings_that_are_there(app: App) -> None:
    """As they are when it is accepted: of its environment, enabled, with the daemon's own timeout."""
    await create(app, a_line("everywhere"))
    await create(app, a_line("test only", environments=["test"]))
    await create(app, a_line("live", timeout=seconds(5), environments=["live"], allow_failure=True))
    await create(app, a_line("disabled", disabled=True, rollback="undo"))
    name = (await app.run(commands=[])).release.name
    assert await spec_of(app, name) == [
        {"label": "everywhere", "line": "true", "timeout": "PT1800S", "source": "SETTINGS"},
        {
            "label": "live",
            "line": "true",
            "timeout": "PT5S",
            "source": "SETTINGS",
            "allow_failure": True,
        },
    ]


async def test_release_runs_the_settings(app: App) -> None:
    """In their order; what has been changed since does not count, and the next release takes that."""
    first = await create(app, a_line("first", "echo one"))
    await create(app, a_line("second", "echo two"))
    running = await app.start("sleep 1000")  # so that the next one waits
    waiting = await app.start(commands=[])
    await app.commands.DeleteCommand(DeleteCommandRequest(name=first.name))
    await app.cancel(running.name)
    outcome, later = await app.outcome(waiting.name), await app.run(commands=[])
    runs = outcome.release.command_runs
    assert [(run.label, run.source) for run in runs] == [
        ("first", CommandRun.SOURCE_SETTINGS),
        ("second", CommandRun.SOURCE_SETTINGS),
    ]
    assert (outcome.state, outcome.output(0), outcome.output(1)) == ("SUCCEEDED", b"one\n", b"two\n")
    assert [run.label for run in later.release.command_runs] == ["second"]
    assert (await listed(app)).declared[0].release == later.release.name
    assert not (await listed(app)).declared[0].commands


async def test_plan_has_the_settings(app: App) -> None:
    """Nothing is started, and they are told as they would run."""
    await create(app, a_line("planned", timeout=seconds(5)))
    plan = await app.start(commands=[], validate_only=True)
    assert [(run.label, run.timeout.seconds) for run in plan.command_runs] == [("planned", 5)]


async def test_release_whose_request_names_commands_takes_no_settings(app: App) -> None:
    """An explicit list replaces all others."""
    await create(app, a_line("from settings"))
    name = (await app.run("true")).release.name
    assert await spec_of(app, name) is None


async def spec_of(app: App, name: str) -> Any:
    """What a release was accepted with from settings, as it is recorded."""
    request = ListEventsRequest(release=name, filter="kind = release_accepted")
    (event,) = (await app.audit.ListEvents(request)).events
    return json.loads(event.body)["spec"].get("settings")


class Host:
    """A daemon as a process, to be stopped and started, and people who call it."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.daemon = daemon

    @property
    def stub(self) -> command_service_pb2_grpc.CommandServiceStub:
        return command_service_pb2_grpc.CommandServiceStub(self.daemon.channel)

    def listed(self) -> ListCommandsResponse:
        return self.stub.ListCommands(ListCommandsRequest(parent=SHOP))


@pytest.fixture
def host() -> Iterator[Host]:
    with daemon_in_memory("unix:///none.sock") as daemon:
        yield Host(daemon)


def test_settings_outlive_a_killed_daemon(host: Host) -> None:
    """What was answered is there, with the same names and etags; the log tells who did it."""
    for label in "ab":
        host.stub.CreateCommand(CreateCommandRequest(parent=SHOP, command=a_line(label)))
    before = host.listed()
    host.daemon.kill()
    host.daemon.start()
    assert host.listed() == before
    assert len(before.commands) == 2
    assert "root (uid 0) changed the release commands of shop: 'b' added" in host.daemon.log


def test_change_that_was_not_answered_is_seen_by_its_etag(host: Host) -> None:
    """A crash right behind the record: the same change again is refused, and it was made once."""
    host.daemon.terminate()
    host.daemon.start({VARIABLE: CrashPoint.SETTINGS_STORED})
    request = CreateCommandRequest(parent=SHOP, command=a_line(), etag="0")
    with pytest.raises(grpc.RpcError):
        host.stub.CreateCommand(request)
    host.daemon.wait()
    host.daemon.start()
    with pytest.raises(grpc.RpcError) as refused:
        host.stub.CreateCommand(request)
    assert refused.value.code() is grpc.StatusCode.ABORTED
    assert [command.label for command in host.listed().commands] == ["migrate"]


async def test_what_images_have_declared_is_listed_beside_the_settings(host: Host) -> None:
    """Of each environment, by its newest release that looked; what came from settings is not repeated."""
    host.daemon.terminate()
    declared = a_command("declared", source=Source.IMAGE, rollback="undo")
    async with audit_log.opened(host.daemon.audit) as audit:
        for number, (environment, commands) in enumerate(
            [
                ("live", (a_command("old", source=Source.IMAGE),)),
                ("live", (declared, a_command("own", source=Source.SETTINGS))),
                ("test", (a_command("by its Procfile", argv=("a", "b c"), source=Source.PROCFILE),)),
                ("stage", ()),
            ]
        ):
            name = f"{RELEASE[:-1]}{number}"
            await audit.append(
                name,
                accepted(environment=environment, commands=(), settings=(), image=f"shop:{number}"),
                ImageResolved(image_id="sha256:1", image_digest=f"shop@sha256:{number}"),
                CommandsResolved(commands=commands),
                StateChanged(state=ReleaseState.SUCCEEDED),
            )
        # Its request said what runs: nobody looked at its image.
        await audit.append(OTHER_RELEASE, accepted("true"), StateChanged(state=ReleaseState.SUCCEEDED))
    host.daemon.start()
    live, stage, test = map(as_dict, host.listed().declared)
    assert live == {
        "environment": "live",
        "release": f"releases/{RELEASE[:-1]}1",
        "image": "shop:1",
        "image_digest": "shop@sha256:1",
        "source": "SOURCE_IMAGE",
        "commands": [
            {"label": "declared", "line": "true", "timeout": "60s", "rollback": "undo", "position": 1}
        ],
    }
    assert (test["source"], test["commands"][0]["argv"]) == (
        "SOURCE_PROCFILE",
        {"arguments": ["a", "b c"]},
    )
    assert (stage["environment"], "commands" in stage, "source" in stage) == ("stage", False, False)
    assert not host.stub.ListCommands(ListCommandsRequest(parent="applications/blog")).declared


RULES = """
[access]
deploy = [
    {{ user = "{other}", targets = ["sh*/*"] }},
    {{ user = "{person}", targets = ["shop/live"] }},
]
read = [{{ user = "{member}", targets = ["shop/test"] }}]
"""


def test_who_may_read_and_who_may_change(users: Users) -> None:
    """Changing needs all of the application; reading some of it, and only that is shown of releases."""
    rules = RULES.format(other=users.other.name, person=users.person.name, member=users.member.name)
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name,
        DaemonProcess(Path(name), f"unix://{name}/no-engine.sock", rules) as daemon,
        ExitStack() as people,
    ):
        daemon.folder.chmod(0o755)
        daemon.terminate()
        asyncio.run(_add_declared(daemon.audit))
        daemon.start()

        def person(user: Any) -> OtherUser:
            return people.enter_context(other_user(daemon.socket, user.uid, user.gid, user.groups))

        owner, agent, reader = person(users.other), person(users.person), person(users.member)
        service = "releasephase.v1.CommandService"
        command = {"label": "migrate", "line": "true"}
        created = owner.call(f"{service}/CreateCommand", parent=SHOP, command=command)
        assert created.code == "OK"
        for user in (agent, reader):
            answer = user.call(f"{service}/CreateCommand", parent=SHOP, command=command)
            assert (answer.code, answer.reason) == ("PERMISSION_DENIED", "ACCESS_DENIED")
            answer = user.call(f"{service}/DeleteCommand", name=created.response["name"])
            assert answer.code == "PERMISSION_DENIED"
        answer = agent.call(f"{service}/CreateCommand", parent=SHOP, command=command)
        assert (
            "needs the role deploy for all environments of shop, and has deploy of shop/live"
            in answer.message
        )
        seen = {}
        for name, user in (("owner", owner), ("agent", agent), ("reader", reader)):
            response = user.call(f"{service}/ListCommands", parent=SHOP).response
            seen[name] = [each["environment"] for each in response["declared"]]
            assert [each["label"] for each in response["commands"]] == ["migrate"]
            told = user.call(f"{service}/ListCommandChanges", parent=SHOP).response["changes"]
            assert [each["caller"]["uid"] for each in told] == [users.other.uid]
        assert seen == {"owner": ["live", "test"], "agent": ["live"], "reader": ["test"]}


async def _add_declared(path: Path) -> None:
    async with audit_log.opened(path) as audit:
        for environment, name in (("live", RELEASE), ("test", OTHER_RELEASE)):
            await audit.append(
                name,
                accepted(environment=environment, commands=(), settings=()),
                CommandsResolved(commands=(a_command("secret of its own", source=Source.IMAGE),)),
                StateChanged(state=ReleaseState.SUCCEEDED),
            )
