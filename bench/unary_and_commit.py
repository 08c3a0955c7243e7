"""The limit of accepting a release durably: a unary RPC, and one commit of what was asked for.

    python -m bench.unary_and_commit SOCKET DATABASE

It answers StartRelease, with nothing checked, and stores each request as it came in SQLite: WAL and
synchronous=FULL, as the audit log. What is asked for while a commit is under way shares the next one.
"""

import asyncio
import sqlite3
import sys
from itertools import count
from typing import Any

import grpc
import grpc.aio

from releasephase.v1.release_pb2 import Release
from releasephase.v1.release_service_pb2 import StartReleaseRequest

SERVICE = "releasephase.v1.ReleaseService"
READY = "ready"
"""The line that says that it serves."""


class BareService:
    """Stores, answers, and does nothing else."""

    def __init__(self, database: str) -> None:
        self._connection = sqlite3.connect(database, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(
            "CREATE TABLE requests (sequence INTEGER PRIMARY KEY, request BLOB NOT NULL)"
        )
        self._numbers = count(1)
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []

    async def start_release(self, request: StartReleaseRequest, _: Any) -> Release:
        """Answer when it is durable."""
        stored = asyncio.get_running_loop().create_future()
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._commit)
        self._waiting.append((request.SerializeToString(), stored))
        await stored
        return Release(name=f"releases/{next(self._numbers)}", image=request.image)

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany(
            "INSERT INTO requests (request) VALUES (?)", [(request,) for request, _ in waiting]
        )
        self._connection.execute("COMMIT")
        for _, stored in waiting:
            if not stored.done():
                stored.set_result(None)


async def serve(socket: str, database: str) -> None:
    """Serve until the process is killed."""
    server = grpc.aio.server()
    handler = grpc.unary_unary_rpc_method_handler(
        BareService(database).start_release, StartReleaseRequest.FromString, Release.SerializeToString
    )
    service = grpc.method_handlers_generic_handler(SERVICE, {"StartRelease": handler})
    server.add_generic_rpc_handlers((service,))
    server.add_insecure_port(f"unix:{socket}")
    await server.start()
    print(READY, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(*sys.argv[1:3]))
