"""Releases take the settings that are there; these outlive the daemon, and some may change them."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from released.crash import VARIABLE, CrashPoint
from released.model.events import CommandsResolved, ImageResolved, StateChanged
from released.model.states import ReleaseState, Source
from releasephase.v1 import command_service_pb2_grpc
from releasephase.v1.audit_service_pb2 import ListEventsRequest
from releasephase.v1.command_service_pb2 import (
    CreateCommandRequest,
    DeleteCommandRequest,
    ListCommandsRequest,
    ListCommandsResponse,
)
from releasephase.v1.release_pb2 import CommandRun
from support import audit_log
from support.app import App, seconds
from support.application_settings import SHOP, a_line, as_dict, create, listed
from support.other_user import OtherUser, other_user
from support.process import DaemonProcess, daemon_in_memory
from support.samples import OTHER_RELEASE, RELEASE, a_command, accepted
from support.users import Users


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
