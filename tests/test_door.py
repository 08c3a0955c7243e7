"""The socket that callers see: what it passes on, and to whom it is closed."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from released.model.caller import Caller
from released.service.callers import Callers
from released.service.door import STRANGER_BYTES, Door
from released.service.listening import listening
from released.service.places import Places

MEBIBYTE = 1 << 20


class Splices:
    """A door, and behind it a server that does what the test says, on plain sockets."""

    def __init__(self, folder: Path, door: Door, server: socket.socket, sockets: ExitStack) -> None:
        self.folder = folder
        self.door = door
        self._server = server
        self._sockets = sockets

    async def connect(self, from_server: bool = False) -> tuple[socket.socket, socket.socket]:
        """A caller's connection, and what the server gets of it; with `from_server` the other way round."""
        loop = asyncio.get_running_loop()
        client = self.socket()
        await loop.sock_connect(client, str(self.folder / "door"))
        connection, _ = await loop.sock_accept(self._server)
        server = self._sockets.enter_context(connection)
        return (server, client) if from_server else (client, server)

    def socket(self) -> socket.socket:
        return self._sockets.enter_context(
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        )


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        yield Path(name)


@pytest.fixture
async def splices(folder: Path) -> AsyncIterator[Splices]:
    with (
        listening(folder / "door") as listener,
        listening(folder / "server") as server,
        ExitStack() as sockets,
    ):
        door = Door(listener, folder / "server", Places(20), Callers(), is_known)
        door.open()
        yield Splices(folder, door, server, sockets)
        sockets.close()
        door.stop_accepting()
        await door.close()


def is_known(caller: Caller) -> bool:
    """Root has rights; who else comes in these tests has none."""
    return caller.uid == os.geteuid()


async def receive(connection: socket.socket) -> bytes:
    """Everything until the other side has nothing more to say."""
    received = bytearray()
    while data := await asyncio.get_running_loop().sock_recv(connection, MEBIBYTE):
        received += data
    return bytes(received)


async def send_until_stuck(connection: socket.socket) -> int:
    """Send until nothing more is taken, in so many turns of the event loop; return the number of bytes."""
    sent = turns = 0
    while turns < 100:
        try:
            sent += connection.send(bytes(MEBIBYTE))
            turns = 0
        except BlockingIOError:
            turns += 1
        await asyncio.sleep(0)
    return sent


either_way = pytest.mark.parametrize("from_server", [False, True])


async def test_bytes_are_passed_on_both_ways_at_once(splices: Splices) -> None:
    """All of them, as they were, even though each side sends before it receives."""
    loop = asyncio.get_running_loop()
    question, answer = os.urandom(4 * MEBIBYTE), os.urandom(4 * MEBIBYTE)
    client, server = await splices.connect()

    async def call() -> bytes:
        await loop.sock_sendall(client, question)
        client.shutdown(socket.SHUT_WR)
        return await receive(client)

    async def serve() -> bytes:
        received = await receive(server)
        await loop.sock_sendall(server, answer)
        server.close()
        return received

    answered, asked = await asyncio.gather(call(), serve())
    assert (answered, asked) == (answer, question)


@either_way
async def test_who_sends_waits_for_who_does_not_receive(splices: Splices, from_server: bool) -> None:
    """The door holds little, and passes all of it on in the end."""
    sender, receiver = await splices.connect(from_server)
    sent = await send_until_stuck(sender)
    assert 0 < sent < 2 * MEBIBYTE
    received = 0
    while received < sent:
        received += len(await asyncio.get_running_loop().sock_recv(receiver, MEBIBYTE))
    assert received == sent


@either_way
async def test_a_stuck_direction_does_not_hold_up_the_other_one(splices: Splices, from_server: bool) -> None:
    """Nor another connection."""
    loop = asyncio.get_running_loop()
    sender, receiver = await splices.connect(from_server)
    await send_until_stuck(sender)
    await loop.sock_sendall(receiver, b"back")
    assert await loop.sock_recv(sender, 10) == b"back"
    other_client, other_server = await splices.connect()
    await loop.sock_sendall(other_client, b"other")
    assert await loop.sock_recv(other_server, 10) == b"other"


async def test_a_caller_with_nothing_more_to_say_still_gets_its_answer(splices: Splices) -> None:
    """A half-close is passed on as one."""
    client, server = await splices.connect()
    client.shutdown(socket.SHUT_WR)
    assert await receive(server) == b""
    await asyncio.get_running_loop().sock_sendall(server, b"answer")
    server.close()
    assert await receive(client) == b"answer"


async def test_what_a_server_said_before_it_closed_arrives(splices: Splices) -> None:
    """However much it was and however late it is read; then the connection is over, on both sides."""
    client, server = await splices.connect()
    sent = await send_until_stuck(server)
    server.close()
    assert len(await receive(client)) == sent
    with pytest.raises(BrokenPipeError):
        client.send(b"anybody there?")


@either_way
async def test_a_reset_is_passed_on(splices: Splices, from_server: bool) -> None:
    """When a side goes without having read everything, the other one does not wait for ever."""
    sender, receiver = await splices.connect(from_server)
    await send_until_stuck(sender)
    receiver.close()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        await asyncio.get_running_loop().sock_sendall(sender, bytes(64 * MEBIBYTE))


async def test_without_a_server_callers_are_closed_and_the_log_says_so_once(
    splices: Splices, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It may have stopped a moment ago; a caller sees a closed connection and tries again."""
    (folder / "server").rename(folder / "away")
    for _ in range(5):
        client = splices.socket()
        await asyncio.get_running_loop().sock_connect(client, str(folder / "door"))
        assert await receive(client) == b""
    assert caplog.messages == ["no connection can be served for now: No such file or directory"]
    (folder / "away").rename(folder / "server")
    await splices.connect()


async def test_closing_ends_connections_whose_caller_does_not_read(splices: Splices) -> None:
    """What gRPC said last is passed on to whoever reads; the others are not waited for."""
    reading, its_server = await splices.connect()
    stuck, stuck_server = await splices.connect()
    sent = await send_until_stuck(stuck_server)
    its_server.send(b"goodbye")
    for server in (its_server, stuck_server):
        server.close()
    splices.door.stop_accepting()
    await splices.door.close()
    assert await receive(reading) == b"goodbye"
    assert len(await receive(stuck)) < sent


async def test_who_has_no_right_may_not_send_much(folder: Path) -> None:
    """What is sent is in memory before anybody can say that it is refused."""
    with (
        listening(folder / "door") as listener,
        listening(folder / "server") as server,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as client,
    ):
        door = Door(listener, folder / "server", Places(20), Callers(), lambda caller: False)
        door.open()
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, str(folder / "door"))
        connection, _ = await loop.sock_accept(server)
        with connection:
            await loop.sock_sendall(client, bytes(STRANGER_BYTES))
            received = 0
            while received < STRANGER_BYTES:
                received += len(await loop.sock_recv(connection, MEBIBYTE))
            await loop.sock_sendall(client, b"one more")
            assert await loop.sock_recv(connection, MEBIBYTE) == b""
        door.stop_accepting()
        await door.close()
