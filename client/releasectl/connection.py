"""The connection to the daemon, and how its answers and errors come back."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote

import grpc

from releasephase.v1 import (
    audit_service_pb2_grpc,
    command_service_pb2_grpc,
    daemon_service_pb2_grpc,
    release_service_pb2_grpc,
)

from .exceptions import DaemonUnreachable, ReleasephaseError
from .socket_path import find_socket

if TYPE_CHECKING:
    from releasephase.v1.audit_service_pb2_grpc import AuditServiceAsyncStub
    from releasephase.v1.command_service_pb2_grpc import CommandServiceAsyncStub
    from releasephase.v1.daemon_service_pb2_grpc import DaemonServiceAsyncStub
    from releasephase.v1.release_service_pb2_grpc import ReleaseServiceAsyncStub

Request = TypeVar("Request")
Answer = TypeVar("Answer")

CALL_TIMEOUT = timedelta(seconds=30)

SOCKET_PATH_LIMIT = 107
"""Bytes: unix(7)."""

_CHANNEL_OPTIONS = [
    # A page of releases, or a release with long commands, may exceed gRPC's 4 MiB.
    ("grpc.max_receive_message_length", -1),
    # We pace our retries ourselves: each shall really try to connect.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 100),
    # By its name another pause, but it is what one attempt gets: while the daemon starts, connections wait.
    ("grpc.min_reconnect_backoff_ms", int(CALL_TIMEOUT.total_seconds() * 1000)),
]


class Connection:
    """A channel to the daemon's socket, open for the time of an ``async with``."""

    def __init__(self, socket: str | os.PathLike[str] | None, call_timeout: timedelta) -> None:
        self._socket = Path(socket) if socket is not None else None
        self._call_timeout = call_timeout

    async def __aenter__(self) -> Self:
        self._path = self._socket or find_socket()
        if len(os.fsencode(self._path.absolute())) > SOCKET_PATH_LIMIT:
            raise DaemonUnreachable(
                f"{self._path} is longer than {SOCKET_PATH_LIMIT} bytes: no socket can be there"
            )
        # The path is part of a URI, in which a blank or a % means something else.
        address = "unix:" + quote(str(self._path.absolute()))
        self._channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._releases: ReleaseServiceAsyncStub = release_service_pb2_grpc.ReleaseServiceStub(self._channel)
        self._commands: CommandServiceAsyncStub = command_service_pb2_grpc.CommandServiceStub(self._channel)
        self._daemon: DaemonServiceAsyncStub = daemon_service_pb2_grpc.DaemonServiceStub(self._channel)
        self._audit: AuditServiceAsyncStub = audit_service_pb2_grpc.AuditServiceStub(self._channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._channel.close(None)

    async def _call(
        self, method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer], request: Request
    ) -> Answer:
        return await self._answer(method, request, self._call_timeout.total_seconds())

    async def _answer(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Request, Answer],
        request: Request,
        timeout: float | None,
    ) -> Answer:
        try:
            return await method(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error

    async def _stream(
        self, method: grpc.aio.UnaryStreamMultiCallable[Request, Answer], request: Request
    ) -> AsyncGenerator[Answer]:
        """Yield the answers of a call, which ends with the iteration."""
        call = method(request)
        try:
            async for answer in call:
                yield answer
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from error
        finally:
            call.cancel()

    def _translated(self, error: grpc.aio.AioRpcError) -> ReleasephaseError:
        # Only errors need it, and it takes its time to load.
        from .rpc_errors import translate

        return translate(error, self._path)
