"""The door: the socket that callers see. It learns from the kernel who connects, and splices what it lets in.

gRPC tells neither who calls nor limits how many connections one user has, so its own
socket lies in a folder that nobody else may enter, and each connection to the door is
joined to one there, whose address says who the caller is.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from released.model.caller import Caller
from released.service.callers import Callers, credentials, told_groups
from released.service.places import Place, Places

logger = logging.getLogger(__name__)

ACCEPT_PAUSE = 1.0
"""Seconds until connections are accepted again, after there was nothing left to accept them with."""

STRANGER_BYTES = 64 * 1024
"""What somebody without any right may send over a connection: some hundred requests, to be refused."""

CLOSE_DEADLINE = 1.0
"""Seconds for callers to take what gRPC had still to say when the daemon stops."""


class Door:
    """Lets callers in from `open` on; each keeps its place until its connection is closed."""

    def __init__(
        self,
        listener: socket.socket,
        inner: Path,
        places: Places,
        callers: Callers,
        is_known: Callable[[Caller], bool],
    ) -> None:
        """`is_known` says whether somebody has any right at all; others get less room."""
        self._listener = listener
        self._is_known = is_known
        self._inner = str(inner)
        self._places = places
        self._callers = callers
        self._visits: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._in_trouble = False

    def open(self) -> None:
        """Accept connections, one in each turn of the event loop: a flood of them does not hold it up."""
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def stop_accepting(self) -> None:
        """Let nobody in any more. Whoever is in stays."""
        asyncio.get_running_loop().remove_reader(self._listener)
        if self._retry:
            self._retry.cancel()

    async def close(self) -> None:
        """End all connections; gRPC has closed its ends before, so all that is left is to pass that on."""
        if not self._visits:
            return
        _, late = await asyncio.wait(self._visits, timeout=CLOSE_DEADLINE)
        for visit in late:
            visit.cancel()
        if late:
            await asyncio.wait(late)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:
            self._report(error)
            # The connection stays where it is: we would be called for it again and again.
            self._pause()
            return
        connection.setblocking(False)
        caller, groups = credentials(connection), told_groups(connection)
        # Of somebody with more groups than are told, nothing can be said before they are looked up.
        known = groups is None or self._is_known(msgspec.structs.replace(caller, groups=groups))
        place = self._places.take(caller.uid, known)
        if place is None:
            connection.close()
            return
        visit = asyncio.create_task(self._visit(connection, caller, groups, place), name="door-visit")
        self._visits.add(visit)
        visit.add_done_callback(self._visits.discard)

    def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)
        self._retry = loop.call_later(ACCEPT_PAUSE, self.open)

    async def _visit(
        self, client: socket.socket, caller: Caller, groups: tuple[int, ...] | None, place: Place
    ) -> None:
        began_in_trouble = self._in_trouble
        try:
            with client:
                described = await self._callers.described(caller, groups)
                with self._callers.present(described) as address:
                    await _splice(client, self._inner, address, None if place.known else STRANGER_BYTES)
            # One that was served before says nothing about it.
            self._in_trouble = self._in_trouble and not began_in_trouble
        except OSError as error:
            self._report(error)
        finally:
            self._places.leave(place)

    def _report(self, error: OSError) -> None:
        """Say that connections can't be served, once until one was: there may be thousands."""
        if not self._in_trouble:
            logger.error("no connection can be served for now: %s", error.strerror)
        self._in_trouble = True


async def _splice(client: socket.socket, inner: str, address: str, most_bytes: int | None) -> None:
    """Join a connection to a new one from `address` to `inner`, until both are closed. Raises OSError.

    A client that sends more than `most_bytes` (None: any number) is cut off.
    """
    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
        server.bind(address)
        await loop.sock_connect(server, inner)
        server_side, server_end = await loop.create_unix_connection(_End, sock=server)
        stack.callback(server_side.abort)
        server_side.pause_reading()  # until there is somebody to write to
        client_side, client_end = await loop.connect_accepted_socket(lambda: _ClientEnd(most_bytes), client)
        stack.callback(client_side.abort)
        server_end.other, client_end.other = client_side, server_side
        server_side.resume_reading()
        ends = (client_end.closed, server_end.closed)
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if all(end.result() is None for end in done):
            # What is on its way still arrives.
            server_side.close()
            client_side.close()
            await asyncio.wait(ends)


class _End(asyncio.Protocol):
    """An end of a spliced connection: what comes in here goes out at the other one.

    One that has much to write stops the other one's reading, so that whoever sends waits
    for whoever receives. This end is gRPC's: when it closes, the connection is over.
    """

    other: asyncio.Transport

    def __init__(self) -> None:
        self.closed: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        """Done when the end is closed, with the error if it was one."""

    def data_received(self, data: bytes) -> None:
        self.other.write(data)

    def pause_writing(self) -> None:
        self.other.pause_reading()

    def resume_writing(self) -> None:
        self.other.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(error)


class _ClientEnd(_End):
    """The caller's end: a caller may have nothing more to say, and listen still."""

    def __init__(self, most_bytes: int | None) -> None:
        super().__init__()
        self._bytes_left = most_bytes

    def data_received(self, data: bytes) -> None:
        if self._bytes_left is not None:
            self._bytes_left -= len(data)
            if self._bytes_left < 0:
                self.other.abort()
                return
        super().data_received(data)

    def eof_received(self) -> bool:
        self.other.write_eof()
        return True
