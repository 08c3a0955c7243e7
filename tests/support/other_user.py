"""A caller of another user: a process that does what it is told, a line at a time.

Root starts it, because others may not be able to read this file: it becomes the other user by itself.
"""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from releasephase.v1.daemon_service_pb2 import GetStatusRequest
from releasephase.v1.daemon_service_pb2_grpc import DaemonServiceStub

NOBODY = 65534
DEADLINE = 60
"""Seconds after which a call counts as not answered."""


class OtherUser:
    """The process, as a test sees it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def crowd(self, number: int) -> tuple[int, int]:
        """Open so many idle connections; return how many were let in and how many were closed at once."""
        let_in, closed = self._ask(f"crowd {number}").split()
        return int(let_in), int(closed)

    def leave(self) -> None:
        """Close all of them."""
        self._ask("leave")

    def call(self, patiently: bool = False) -> str:
        """The status code that a stock client's GetStatus ends with; patiently it connects until it can."""
        return self._ask(f"call {int(patiently)}")

    def _ask(self, line: str) -> str:
        assert self._process.stdin
        assert self._process.stdout
        print(line, file=self._process.stdin, flush=True)
        return self._process.stdout.readline().strip()


@contextmanager
def other_user(path: Path) -> Iterator[OtherUser]:
    """Somebody else, of user and group 65534, who knows the daemon's socket."""
    command = [sys.executable, "-m", "support.other_user", str(path)]
    tests = Path(__file__).resolve().parents[1]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tests
    ) as process:
        yield OtherUser(process)


def crowd(path: str, number: int) -> list[socket.socket]:
    """Connect so many times, and print what became of it: gRPC speaks first to whoever is let in."""
    connections = []
    for _ in range(number):
        connections.append(socket.socket(socket.AF_UNIX))
        connections[-1].connect(path)
    let_in = sum(bool(connection.recv(1)) for connection in connections)
    print(let_in, number - let_in, flush=True)
    return connections


def call(path: str, patiently: bool) -> None:
    """Ask for the status over a new channel, and print the code of the answer."""
    with grpc.insecure_channel(f"unix:{path}", [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            DaemonServiceStub(channel).GetStatus(
                GetStatusRequest(), timeout=DEADLINE, wait_for_ready=patiently
            )
        except grpc.RpcError as error:
            print(error.code().name, flush=True)
        else:
            print("OK", flush=True)


def main(path: str) -> None:
    """Become the other user, and read what to do."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    connections: list[socket.socket] = []
    for line in sys.stdin:
        match line.split():
            case ["crowd", number]:
                connections += crowd(path, int(number))
            case ["leave"]:
                while connections:
                    connections.pop().close()
                print(flush=True)
            case ["call", patiently]:
                call(path, bool(int(patiently)))


if __name__ == "__main__":
    main(sys.argv[1])
