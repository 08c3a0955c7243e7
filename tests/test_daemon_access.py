"""Real users at the daemon's socket: each may do what the access rules say, and nothing else."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from released.config import AccessConfig, Grant
from released.model.events import AccessDenied, DrainBegun, ReleaseAccepted, decode
from released.service.gate import ROLES
from releasephase.v1 import (
    audit_service_pb2,
    command_service_pb2,
    daemon_service_pb2,
    release_service_pb2,
)
from support.app import NOTHING, App, Serve
from support.other_user import Answer, OtherUser, other_user
from support.process import DaemonProcess
from support.users import User, Users, group

RELEASES = "releasephase.v1.ReleaseService"
DAEMON = "releasephase.v1.DaemonService"
AUDIT = "releasephase.v1.AuditService"
COMMANDS = "releasephase.v1.CommandService"
SHOP, BLOG = "applications/shop", "applications/blog"
NO_COMMAND = f"{SHOP}/commands/01900000-0000-7000-8000-000000000001"
START = f"{RELEASES}/StartRelease"
LIVE: dict[str, Any] = {"application": "shop", "environment": "live", "image": "shop:1", **NOTHING}
"""A request that runs nothing: the release succeeds at once, without an engine."""


class Host:
    """A daemon with access rules and without an engine, and people who call it."""

    def __init__(self, daemon: DaemonProcess, sockets: ExitStack) -> None:
        self.daemon = daemon
        self._people = sockets

    def person(self, user: User) -> OtherUser:
        """A process of a real user."""
        return self._people.enter_context(other_user(self.daemon.socket, user.uid, user.gid, user.groups))

    def release(self, **fields: Any) -> str:
        """The name of a release that root has started."""
        request = release_service_pb2.StartReleaseRequest(**{**LIVE, **fields})
        return self.daemon.stub.StartRelease(request).name

    def events(self) -> list[Any]:
        """All that is recorded."""
        with closing(sqlite3.connect(self.daemon.audit)) as connection:
            rows = connection.execute("SELECT body FROM events ORDER BY sequence").fetchall()
        return [decode(body) for (body,) in rows]


def rules(users: Users) -> str:
    return f"""
[access]
admin = [{{ user = "{users.other.name}" }}]
deploy = [{{ group = "{users.team}", targets = ["shop/*"] }}]
read = [{{ user = "{users.person.name}", targets = ["shop/live"] }}]
"""


@pytest.fixture
def host(users: Users) -> Iterator[Host]:
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name,
        DaemonProcess(Path(name), f"unix://{name}/no-engine.sock", rules(users)) as daemon,
        ExitStack() as people,
    ):
        daemon.folder.chmod(0o755)
        yield Host(daemon, people)


@pytest.fixture
def member(host: Host, users: Users) -> OtherUser:
    """May deploy shop/*, as one of the team."""
    return host.person(users.member)


@pytest.fixture
def person(host: Host, users: Users) -> OtherUser:
    """May read shop/live."""
    return host.person(users.person)


@pytest.fixture
def admin(host: Host, users: Users) -> OtherUser:
    """May do everything."""
    return host.person(users.other)


@pytest.fixture
def stranger(host: Host, users: Users) -> OtherUser:
    """May do nothing."""
    return host.person(users.stranger)


DENIED = "PERMISSION_DENIED"
UNIMPLEMENTED = "UNIMPLEMENTED"
INVALID = "INVALID_ARGUMENT"
ABSENT = "NOT_FOUND"

CALLS: list[tuple[str, dict[str, Any], tuple[str, str, str, str]]] = [
    (START, LIVE, ("OK", "OK", DENIED, DENIED)),
    (START, {**LIVE, "environment": "test"}, ("OK", "OK", DENIED, DENIED)),
    (
        START,
        {**LIVE, "application": "blog"},
        ("OK", DENIED, DENIED, DENIED),
    ),
    (f"{RELEASES}/GetRelease", {"name": "shop/live"}, ("OK", "OK", "OK", DENIED)),
    (f"{RELEASES}/GetRelease", {"name": "shop/test"}, ("OK", "OK", DENIED, DENIED)),
    (
        f"{RELEASES}/GetRelease",
        {"name": "blog/live"},
        ("OK", DENIED, DENIED, DENIED),
    ),
    (f"{RELEASES}/WatchRelease", {"name": "shop/live"}, ("OK", "OK", "OK", DENIED)),
    (
        f"{RELEASES}/WatchRelease",
        {"name": "shop/test"},
        ("OK", "OK", DENIED, DENIED),
    ),
    (f"{RELEASES}/ListReleases", {}, ("OK", "OK", "OK", DENIED)),
    # It has ended: that is found out by whoever may cancel it only.
    (
        f"{RELEASES}/CancelRelease",
        {"name": "shop/live"},
        ("FAILED_PRECONDITION", "FAILED_PRECONDITION", DENIED, DENIED),
    ),
    (
        f"{RELEASES}/CancelRelease",
        {"name": "blog/live"},
        ("FAILED_PRECONDITION", DENIED, DENIED, DENIED),
    ),
    # It has succeeded: the same holds for that.
    (
        f"{RELEASES}/RetryRelease",
        {"name": "shop/live"},
        ("FAILED_PRECONDITION", "FAILED_PRECONDITION", DENIED, DENIED),
    ),
    (
        f"{RELEASES}/RetryRelease",
        {"name": "blog/live"},
        ("FAILED_PRECONDITION", DENIED, DENIED, DENIED),
    ),
    # Said again, it is the same.
    (
        f"{RELEASES}/ReportOutcome",
        {"name": "shop/live", "outcome": "OUTCOME_DEPLOYED"},
        ("OK", "OK", DENIED, DENIED),
    ),
    (
        f"{RELEASES}/ReportOutcome",
        {"name": "blog/live", "outcome": "OUTCOME_DEPLOYED"},
        ("OK", DENIED, DENIED, DENIED),
    ),
    (f"{DAEMON}/GetStatus", {}, ("OK", "OK", "OK", DENIED)),
    (
        f"{AUDIT}/VerifyAudit",
        {},
        ("OK", DENIED, DENIED, DENIED),
    ),
    (f"{AUDIT}/GetCommandStatistics", {}, ("OK", "OK", "OK", DENIED)),
    (f"{AUDIT}/ListEvents", {}, ("OK", DENIED, DENIED, DENIED)),
    (f"{AUDIT}/ListEvents", {"release": "shop/live"}, ("OK", "OK", "OK", DENIED)),
    (f"{AUDIT}/ListEvents", {"release": "shop/test"}, ("OK", "OK", DENIED, DENIED)),
    (f"{AUDIT}/ListEvents", {"release": "blog/live"}, ("OK", DENIED, DENIED, DENIED)),
    (f"{AUDIT}/ExportEvents", {}, ("OK", DENIED, DENIED, DENIED)),
    (f"{COMMANDS}/ListCommands", {"parent": SHOP}, ("OK", "OK", "OK", DENIED)),
    (f"{COMMANDS}/ListCommands", {"parent": BLOG}, ("OK", DENIED, DENIED, DENIED)),
    (f"{COMMANDS}/ListCommandChanges", {"parent": SHOP}, ("OK", "OK", "OK", DENIED)),
    (f"{COMMANDS}/ListCommandChanges", {"parent": BLOG}, ("OK", DENIED, DENIED, DENIED)),
    (f"{COMMANDS}/ReplaceCommands", {"parent": SHOP}, ("OK", "OK", DENIED, DENIED)),
    (f"{COMMANDS}/ReplaceCommands", {"parent": BLOG}, ("OK", DENIED, DENIED, DENIED)),
    # That it is wrong, or there is no such command, is found out by whoever may change it only.
    (f"{COMMANDS}/CreateCommand", {"parent": SHOP}, (INVALID, INVALID, DENIED, DENIED)),
    (f"{COMMANDS}/UpdateCommand", {"command": {"name": NO_COMMAND}}, (INVALID, INVALID, DENIED, DENIED)),
    (f"{COMMANDS}/MoveCommand", {"name": NO_COMMAND, "position": 1}, (ABSENT, ABSENT, DENIED, DENIED)),
    (f"{COMMANDS}/DeleteCommand", {"name": NO_COMMAND}, (ABSENT, ABSENT, DENIED, DENIED)),
    ("grpc.health.v1.Health/Check", {}, ("OK", "OK", "OK", DENIED)),
    # gRPC's own asynchronous implementation does not have it.
    ("grpc.health.v1.Health/List", {}, (UNIMPLEMENTED, UNIMPLEMENTED, UNIMPLEMENTED, DENIED)),
    ("grpc.health.v1.Health/Watch", {}, ("OK", "OK", "OK", DENIED)),
    (
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        {"list_services": ""},
        ("OK", "OK", "OK", DENIED),
    ),
]
"""Method, request (a target stands for the name of a release of it), and the codes of `who` below."""

NAMES = ("name", "release")

DRAIN = f"{DAEMON}/Drain"
"""It ends the daemon, and has a test of its own."""


def test_each_user_may_call_what_its_role_allows(
    host: Host, admin: OtherUser, member: OtherUser, person: OtherUser, stranger: OtherUser
) -> None:
    """Method by method; whoever has no role gets nothing at all."""
    names = {
        target: host.release(application=target.split("/")[0], environment=target.split("/")[1])
        for target in ("shop/live", "shop/test", "blog/live")
    }
    who = (admin, member, person, stranger)
    for method, request, expected in CALLS:
        named = request | {
            field: names.get(value, value) for field, value in request.items() if field in NAMES
        }
        codes = tuple(user.call(method, **named).code for user in who)
        assert codes == expected, (method, request)


def test_no_method_is_missing_above() -> None:
    """Nor in the table of roles, in which what is missing is nobody's."""
    files = (
        release_service_pb2,
        daemon_service_pb2,
        audit_service_pb2,
        command_service_pb2,
        health_pb2,
        reflection_pb2,
    )
    methods = {
        f"{service.full_name}/{method.name}"
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert {method for method, _, _ in CALLS} | {DRAIN} == methods
    assert {method.removeprefix("/") for method in ROLES} == methods


def test_refusal_says_why_and_is_recorded(host: Host, users: Users, member: OtherUser) -> None:
    """With the role that was needed and what there is, for the caller and for whoever looks later."""
    answer = member.call(START, **{**LIVE, "application": "blog"})
    reason = (
        f"{users.member.name} (uid {users.member.uid}) needs the role deploy for blog/live, and has deploy "
        "of shop/*: the operator of the host gives roles in [access]"
    )
    assert answer == Answer("PERMISSION_DENIED", "ACCESS_DENIED", reason)
    host.daemon.terminate()
    (denied,) = (event for event in host.events() if isinstance(event, AccessDenied))
    caller = denied.caller
    assert (denied.method, denied.reason, denied.target) == ("StartRelease", reason, "blog/live")
    assert (caller.uid, caller.user, caller.pid) == (users.member.uid, users.member.name, member.pid)
    assert f"StartRelease was refused: {reason}" in host.daemon.log


def test_stranger_can_t_fill_the_log(host: Host, stranger: OtherUser) -> None:
    """A hundred refusals are two events."""
    for _ in range(100):
        assert stranger.call(f"{DAEMON}/GetStatus").code == "PERMISSION_DENIED"
    host.daemon.terminate()
    assert [event.times for event in host.events()] == [1, 99]


def test_target_of_any_length_is_no_event_of_that_length(host: Host, member: OtherUser) -> None:
    """What is no target is bad input, whoever asks; nothing of it is stored."""
    answer = member.call(START, **{**LIVE, "application": "x" * 1_000_000})
    assert (answer.code, len(answer.message) < 1000) == ("INVALID_ARGUMENT", True)
    host.daemon.terminate()
    assert host.events() == []


def test_release_and_its_cancellation_carry_their_callers(
    host: Host, users: Users, admin: OtherUser, member: OtherUser
) -> None:
    """As the kernel says, whatever they claim."""
    started = member.call(START, **LIVE, requested_by="root")
    release = member.call(f"{RELEASES}/GetRelease", name=started.response["name"]).response
    assert release["requested_by"] == "root"
    assert release["caller"] == started.response["caller"]
    assert release["caller"] == {
        "uid": users.member.uid,
        "gid": users.member.gid,
        "pid": member.pid,
        "groups": list(users.member.groups),
        "user": users.member.name,
        "executable": release["caller"]["executable"],
    }
    assert "python" in release["caller"]["executable"]  # the daemon is root here, and may see it
    accepted = msgspec.structs.asdict(next(e for e in host.events() if isinstance(e, ReleaseAccepted)))
    assert accepted["caller"].uid == users.member.uid


def test_reader_sees_its_targets_only(host: Host, person: OtherUser, member: OtherUser) -> None:
    """In the history, with any filter, and page by page."""
    targets = ["shop/live", "blog/live", "shop/test", "shop/live"]
    for target in targets:
        application, environment = target.split("/")
        host.release(application=application, environment=environment)

    def listed(user: OtherUser, **request: Any) -> tuple[list[str], bool]:
        response = user.call(f"{RELEASES}/ListReleases", **request).response
        found = [f"{release['application']}/{release['environment']}" for release in response["releases"]]
        return found, "next_page_token" in response

    assert listed(person) == (["shop/live"] * 2, False)
    assert listed(person, page_size=1) == (["shop/live"], True)
    assert listed(member) == (["shop/live", "shop/test", "shop/live"], False)
    assert listed(person, filter='application = "blog" OR application = "shop"') == (["shop/live"] * 2, False)
    assert person.call(f"{RELEASES}/ListReleases", filter='application = "blog"').response == {}


def test_drain_is_for_admins_and_is_recorded(
    host: Host, users: Users, admin: OtherUser, member: OtherUser
) -> None:
    """It ends the daemon for everybody."""
    assert member.call(DRAIN).code == "PERMISSION_DENIED"
    assert admin.call(DRAIN).code == "OK"
    assert host.daemon.wait() == 0
    (begun,) = (event for event in host.events() if isinstance(event, DrainBegun))
    assert begun.caller.uid == users.other.uid


def test_command_line_says_so_and_ends_with_4(host: Host, member: OtherUser, stranger: OtherUser) -> None:
    """For a script."""
    code, output = member.releasectl("run", "blog/live", "blog:1", "-c", "migrate=true")
    assert (code, "needs the role deploy for blog/live" in output) == (4, True)
    code, output = stranger.releasectl("history")
    assert (code, "needs the role read, and has nothing" in output) == (4, True)
    host.release()
    assert member.releasectl("history", "shop/live")[0] == 0


def test_applications_that_did_not_opt_in_have_no_releases(users: Users) -> None:
    """Whoever asks, root included; what they had before can be read."""
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name,
        DaemonProcess(
            Path(name), f"unix://{name}/no-engine.sock", '[access]\napplications = ["shop"]\n'
        ) as daemon,
        other_user(daemon.socket, 0, 0) as root,
    ):
        assert root.call(START, **LIVE).code == "OK"
        for validate_only in (True, False):
            answer = root.call(START, **{**LIVE, "application": "blog"}, validate_only=validate_only)
            assert (answer.code, answer.reason) == ("PERMISSION_DENIED", "APPLICATION_NOT_ENABLED")
        assert "blog is none of the applications that may have release commands here" in answer.message


def test_default_is_group_released(users: Users) -> None:
    """Its members may deploy anything; nobody else but root may do a thing."""
    with (
        group("released") as gid,
        tempfile.TemporaryDirectory(prefix="rp-", dir="/dev/shm") as name,
        DaemonProcess(Path(name), f"unix://{name}/no-engine.sock") as daemon,
        other_user(daemon.socket, users.person.uid, users.person.gid, [gid]) as agent,
        other_user(daemon.socket, users.stranger.uid, users.stranger.gid) as stranger,
    ):
        daemon.folder.chmod(0o755)
        assert agent.call(START, **LIVE).code == "OK"
        assert agent.call(DRAIN).code == "PERMISSION_DENIED"
        assert stranger.call("grpc.health.v1.Health/Check").code == "PERMISSION_DENIED"


async def test_reader_sees_its_lanes_only(serve: Serve, users: Users) -> None:
    """How much is under way in all may be seen by everybody who has a role."""
    access = AccessConfig(
        read=(
            Grant(user=users.person.name, targets=("shop/*",)),
            Grant(user=users.other.name, targets=("blog/*",)),
        )
    )
    async with serve(access=access) as app:
        app.folder.chmod(0o755)
        release = await app.start("sleep 60")
        await app.until(release.name, "command_started")
        seen = [
            await asyncio.to_thread(status_as, app.config.server.socket, user)
            for user in (users.person, users.other)
        ]
        await app.cancel(release.name)
        await app.outcome(release.name)
    assert [answer["running_releases"] for answer in seen] == [1, 1]
    assert [[lane["target"] for lane in answer.get("lanes", ())] for answer in seen] == [["shop/live"], []]
    assert not any("configuration" in answer for answer in seen)


def status_as(socket: Path, user: User) -> dict[str, Any]:
    """The status that a real user sees."""
    with other_user(socket, user.uid, user.gid, user.groups) as person:
        return person.call(f"{DAEMON}/GetStatus").response


async def test_cancellation_names_its_caller(app: App) -> None:
    """The release's own caller may have been another one."""
    release = await app.start("sleep 60")
    await app.until(release.name, "command_started")
    await app.cancel(release.name, "wrong image")
    outcome = await app.outcome(release.name)
    (cancel,) = (e.cancel_requested for e in outcome.events if e.HasField("cancel_requested"))
    assert (cancel.caller.uid, cancel.caller.pid, cancel.reason) == (os.geteuid(), os.getpid(), "wrong image")
