"""The bare service: what it has answered is in its database."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from bench.agent import Agent, request
from bench.scenarios.accepting import serving


@pytest.fixture
def folder() -> Iterator[Path]:
    """One with a short path."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as name:
        yield Path(name)


async def test_what_is_answered_is_stored(folder: Path) -> None:
    """Each request of callers that call at once, as it came, under a name of its own."""
    socket, database = folder / "socket", folder / "limit.db"
    asked = [request("shop:2", "true", application=f"shop-{number}") for number in range(8)]
    async with serving(socket, database), AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(Agent.connected(socket)) for _ in asked]
        calls = [agent.start(each) for agent, each in zip(agents, asked, strict=True)]
        names = await asyncio.gather(*calls)
        with closing(sqlite3.connect(database)) as connection:
            stored = {row[0] for row in connection.execute("SELECT request FROM requests")}
    assert stored == {each.SerializeToString() for each in asked}
    assert len(set(names)) == len(asked)
