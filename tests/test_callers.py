"""Who is at the other end of a connection, as the kernel says."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from released.errors import Unavailable
from released.model.caller import Caller
from released.service import callers as module
from released.service.callers import Callers, credentials, described
from support.other_user import NOBODY, OtherUser, other_user
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


def connected(listener: socket.socket, user: OtherUser) -> Caller:
    """What is known of a user who has connected; gRPC's first byte lets its side go on."""
    user.begin_crowd(1)
    connection, _ = listener.accept()
    with connection:
        connection.send(b"\0")
        user.end_crowd()
        return credentials(connection)


def test_credentials_are_our_own_for_a_connection_of_ours() -> None:
    """Number of the process, user and groups."""
    left, right = socket.socketpair()
    with left, right:
        caller = credentials(left)
    assert caller == Caller(uid=os.geteuid(), gid=os.getegid(), pid=os.getpid(), groups=tuple(os.getgroups()))


def test_credentials_of_a_real_user(listener: socket.socket, users: Users) -> None:
    """With the groups that it has besides its own."""
    member = users.member
    with other_user(Path(listener.getsockname()), member.uid, member.gid, member.groups) as user:
        caller = connected(listener, user)
    assert (caller.uid, caller.gid, caller.pid) == (member.uid, member.gid, user.pid)
    assert sorted(caller.groups) == sorted(member.groups)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_of_more_groups_than_the_kernel_tells_us_the_database_s_count(listener: socket.socket) -> None:
    """256 are told; what a process claims beyond the database is not believed then."""
    groups = range(100_000, 100_300)
    with other_user(Path(listener.getsockname()), NOBODY, NOBODY, groups) as user:
        caller = connected(listener, user)
    assert caller.groups == (NOBODY,)


async def test_description_adds_the_user_s_name_and_the_program() -> None:
    """Where there are such."""
    ours = Caller(uid=0, gid=0, pid=os.getpid())
    known = await described(ours)
    assert (known.user, known.executable) == ("root", os.path.realpath(sys.executable))
    unknown = await described(Caller(uid=4_000_000_000, gid=0, pid=2**22 + 1))
    assert (unknown.user, unknown.executable) == ("", "")


async def test_program_whose_path_is_no_text_is_told_all_the_same(tmp_path: Path) -> None:
    """Nobody gets around being recorded by the name of a file."""
    program = os.fsencode(tmp_path) + b"/agent\xff"
    shutil.copy(os.fsencode(shutil.which("sleep") or ""), program)
    process = await asyncio.create_subprocess_exec(program, "60")
    try:
        known = await described(Caller(uid=0, gid=0, pid=process.pid))
    finally:
        process.kill()
        await process.wait()
    assert known.executable == f"{tmp_path}/agent\N{REPLACEMENT CHARACTER}"


async def test_name_that_takes_too_long_to_be_found_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user database may be on the network."""
    monkeypatch.setattr(module, "LOOKUP_SECONDS", 0.01)
    found = threading.Event()

    def look_up(uid: int) -> str:
        found.wait()
        return "late"

    monkeypatch.setattr(module, "_user_name", look_up)
    assert (await described(Caller(uid=0, gid=0, pid=os.getpid()))).user == ""
    found.set()


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
