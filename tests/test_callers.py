"""Who is at the other end of a connection, as the kernel says."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from released.errors import Unavailable
from released.model.caller import Caller
from released.service import callers as module
from released.service.callers import MOST_LOOKUPS, Callers, credentials, told_groups
from support.other_user import OtherUser, other_user
from support.samples import CALLER
from support.users import Users


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that everybody may connect to; its path is its name."""
    with (
        tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder,
        socket.socket(socket.AF_UNIX) as server,
    ):
        Path(folder).chmod(0o755)
        server.bind(f"{folder}/socket")
        Path(f"{folder}/socket").chmod(0o666)
        server.listen()
        yield server


async def connected(listener: socket.socket, user: OtherUser) -> Caller:
    """What is known of a user who has connected; gRPC's first byte lets its side go on."""
    user.begin_crowd(1)
    connection, _ = listener.accept()
    with connection:
        connection.send(b"\0")
        user.end_crowd()
        return await described(connection)


async def described(connection: socket.socket) -> Caller:
    return await Callers().described(credentials(connection), told_groups(connection))


async def test_credentials_are_our_own_for_a_connection_of_ours() -> None:
    """Number of the process, user and groups, the user's name and the program."""
    left, right = socket.socketpair()
    with left, right:
        caller = await described(left)
    assert caller == Caller(
        uid=os.geteuid(),
        gid=os.getegid(),
        pid=os.getpid(),
        groups=tuple(os.getgroups()),
        user=pwd.getpwuid(os.geteuid()).pw_name,
        executable=os.path.realpath(sys.executable),
    )


async def test_credentials_of_a_real_user(listener: socket.socket, users: Users) -> None:
    """With the groups that it has besides its own."""
    member = users.member
    with other_user(Path(listener.getsockname()), member.uid, member.gid, member.groups) as user:
        caller = await connected(listener, user)
    assert (caller.uid, caller.gid, caller.pid) == (member.uid, member.gid, user.pid)
    assert (caller.user, sorted(caller.groups)) == (member.name, sorted(member.groups))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
async def test_of_more_groups_than_the_kernel_tells_us_the_database_s_count(
    listener: socket.socket, users: Users
) -> None:
    """256 are told; what a process claims beyond the database is not believed then."""
    member = users.member
    with other_user(Path(listener.getsockname()), member.uid, member.gid, range(100_000, 100_300)) as user:
        caller = await connected(listener, user)
    assert sorted(caller.groups) == sorted(member.groups)


async def test_user_and_program_that_there_are_not_stay_empty() -> None:
    """As for a process that has ended, in a container say."""
    unknown = Caller(uid=4_000_000_000, gid=0, pid=2**22 + 1)
    assert await Callers().described(unknown, (7,)) == msgspec.structs.replace(unknown, groups=(7,))
    assert await Callers().described(unknown, None) == unknown


async def test_program_whose_path_is_no_text_is_told_all_the_same(tmp_path: Path) -> None:
    """Nobody gets around being recorded by the name of a file."""
    program = os.fsencode(tmp_path) + b"/agent\xff"
    shutil.copy(os.fsencode(shutil.which("sleep") or ""), program)
    process = await asyncio.create_subprocess_exec(program, "60")
    try:
        known = await Callers().described(Caller(uid=0, gid=0, pid=process.pid), ())
    finally:
        process.kill()
        await process.wait()
    assert known.executable == f"{tmp_path}/agent\N{REPLACEMENT CHARACTER}"


async def test_lookups_that_hang_are_few_and_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user database may be on the network: what the kernel tells is all then, until it answers again."""
    monkeypatch.setattr(module, "LOOKUP_SECONDS", 0.01)
    answering, begun = threading.Event(), []
    really = pwd.getpwuid

    def look_up(uid: int) -> pwd.struct_passwd:
        begun.append(uid)
        answering.wait()
        return really(uid)

    monkeypatch.setattr(pwd, "getpwuid", look_up)
    callers, root = Callers(), Caller(uid=0, gid=0, pid=os.getpid())
    try:
        found = await asyncio.gather(*(callers.described(root, (7,)) for _ in range(10 * MOST_LOOKUPS)))
        assert {(caller.user, caller.groups) for caller in found} == {("", (7,))}
        assert (await callers.described(root, None)).groups == ()
        assert len(begun) <= MOST_LOOKUPS
    finally:
        answering.set()
    while (await callers.described(root, (7,))).user != "root":
        pass  # the threads that hung have to end first


async def test_more_callers_than_lookups_get_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait for each other, as long as the user database answers."""
    monkeypatch.setattr(module, "LOOKUP_SECONDS", 60)
    callers, root = Callers(), Caller(uid=0, gid=0, pid=os.getpid())
    found = await asyncio.gather(*(callers.described(root, ()) for _ in range(10 * MOST_LOOKUPS)))
    assert [caller.user for caller in found] == 10 * MOST_LOOKUPS * ["root"]


async def test_caller_is_known_by_its_address_while_its_connection_is_open() -> None:
    """gRPC names the address with its kind."""
    callers = Callers()
    with callers.present(CALLER) as address, callers.present(Caller(uid=7, gid=7, pid=7)) as other:
        assert address.startswith("\0released-")
        assert callers.at(f"unix-abstract:{address[1:]}") == CALLER
        assert callers.at(f"unix-abstract:{other[1:]}").uid == 7
    for peer in (f"unix-abstract:{address[1:]}", "unix:", "unix-abstract:", "ipv4:127.0.0.1:5"):
        with pytest.raises(Unavailable, match="closed"):
            callers.at(peer)
