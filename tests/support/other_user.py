"""A caller of another user: a process that does what it is told, a line of JSON at a time.

Root starts it, because others may not be able to read this file: it becomes the other user by itself.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pkgutil
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status

import releasectl
from releasectl.cli import main as entry_point
from releasephase.v1 import (
    audit_service_pb2,
    command_service_pb2,
    daemon_service_pb2,
    release_service_pb2,
)

NOBODY = 65534
DEADLINE = 60
"""Seconds after which a call counts as not answered."""

CONTRACTS = (
    release_service_pb2,
    daemon_service_pb2,
    audit_service_pb2,
    command_service_pb2,
    health_pb2,
    reflection_pb2,
)
"""What is in the pool of descriptors by being imported."""


class Answer(NamedTuple):
    """What an RPC ended with, and its response, of a stream the first one, by its JSON mapping."""

    code: str
    reason: str = ""
    message: str = ""
    response: dict[str, Any] = {}  # noqa: RUF012 # it is never changed


class OtherUser:
    """The process, as a test sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def crowd(self, number: int) -> tuple[int, int]:
        """Open so many idle connections; return how many were let in and how many were closed at once."""
        self.begin_crowd(number)
        return self.end_crowd()

    def begin_crowd(self, number: int) -> None:
        """Do so without waiting: whoever accepts may be the test itself."""
        self._tell("crowd", number)

    def end_crowd(self) -> tuple[int, int]:
        """Return how many were let in and how many were closed at once."""
        let_in, closed = self._answer()
        return let_in, closed

    def leave(self) -> None:
        """Close all of them."""
        self._ask("leave")

    def call(self, method: str, patiently: bool = False, **request: Any) -> Answer:
        """Call a method, `package.Service/Method`, over a new channel; patiently it connects until it can."""
        return Answer(*self._ask("call", method, patiently, request))

    def releasectl(self, *arguments: str) -> tuple[int, str]:
        """Run the command line, and return its exit code and what it wrote to both streams."""
        code, output = self._ask("releasectl", list(arguments))
        return code, output

    def _ask(self, *question: Any) -> Any:
        self._tell(*question)
        return self._answer()

    def _tell(self, *question: Any) -> None:
        assert self._process.stdin
        print(json.dumps(question), file=self._process.stdin, flush=True)

    def _answer(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


@contextmanager
def other_user(
    path: Path, uid: int = NOBODY, gid: int = NOBODY, groups: Sequence[int] = ()
) -> Iterator[OtherUser]:
    """Somebody else who knows the daemon's socket."""
    command = [sys.executable, "-m", "support.other_user", str(path), json.dumps([uid, gid, *groups])]
    tests = Path(__file__).resolve().parents[1]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tests
    ) as process:
        yield OtherUser(process)


def crowd(path: str, number: int) -> tuple[list[socket.socket], int]:
    """Connect so many times, and count who is let in: gRPC speaks first to them."""
    connections = []
    for _ in range(number):
        connections.append(socket.socket(socket.AF_UNIX))
        connections[-1].connect(path)
    return connections, sum(bool(connection.recv(1)) for connection in connections)


def call(path: str, method: str, patiently: bool, request: dict[str, Any]) -> Answer:
    """Call a method over a new channel."""
    service, _, name = method.partition("/")
    pool = descriptor_pool.Default()
    described = pool.FindServiceByName(service).methods_by_name[name]
    request_class = message_factory.GetMessageClass(described.input_type)
    response_class = message_factory.GetMessageClass(described.output_type)
    codec = (request_class.SerializeToString, response_class.FromString)
    message = json_format.ParseDict(request, request_class())
    options: dict[str, Any] = {"timeout": DEADLINE, "wait_for_ready": patiently}
    response: Message | None
    with grpc.insecure_channel(f"unix:{path}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            if described.client_streaming:
                response = next(channel.stream_stream(f"/{method}", *codec)(iter([message]), **options))
            elif described.server_streaming:
                response = next(channel.unary_stream(f"/{method}", *codec)(message, **options), None)
            else:
                response = channel.unary_unary(f"/{method}", *codec)(message, **options)
        except grpc.RpcError as error:
            return refusal(error)
    fields = json_format.MessageToDict(response, preserving_proto_field_name=True) if response else {}
    return Answer("OK", response=fields)


def refusal(error: Any) -> Answer:
    """What an RPC was refused with."""
    info = error_details_pb2.ErrorInfo()
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        detail.Unpack(info)
    return Answer(error.code().name, info.reason, error.details())


def run_releasectl(arguments: list[str]) -> tuple[int, str]:
    """Run the command line in this process: its files may not be there for another one."""
    written = io.BytesIO()
    output = io.TextIOWrapper(written, encoding="utf-8", write_through=True)
    with (
        redirect_stdout(output),
        redirect_stderr(output),
        patch.object(sys, "argv", ["releasectl", *arguments]),
    ):
        try:
            entry_point()
        except SystemExit as end:
            return int(end.code or 0), written.getvalue().decode()
    raise AssertionError("it did not end")


def become(uid: int, gid: int, groups: list[int]) -> None:
    """Be another user from here on."""
    for module in pkgutil.walk_packages(releasectl.__path__, "releasectl."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)  # what is imported late may not be readable then
    importlib.import_module("concurrent.futures.thread")  # by asyncio, when it needs a thread
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)


def main(path: str, identity: str) -> None:
    """Become the other user, and read what to do."""
    uid, gid, *groups = json.loads(identity)
    become(uid, gid, groups)
    os.environ["RELEASED_SOCKET"] = path
    connections: list[socket.socket] = []
    for line in sys.stdin:
        answer: Any = None
        match json.loads(line):
            case ["crowd", number]:
                more, let_in = crowd(path, number)
                connections += more
                answer = (let_in, number - let_in)
            case ["leave"]:
                while connections:
                    connections.pop().close()
            case ["call", method, patiently, request]:
                answer = call(path, method, patiently, request)
            case ["releasectl", arguments]:
                answer = run_releasectl(arguments)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
