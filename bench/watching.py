"""Watchers of one release, each on a connection of its own, in a process that does nothing else.

    python -m bench.watching SOCKET RELEASE COUNT

Each follows the release from its beginning to its end. It prints a line when all have seen the first event,
and at the end, for each, how many bytes of output it saw.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from bench.agent import Agent

READY = "all are watching"


async def watch(socket: Path, name: str, count: int) -> list[int]:
    """Return how many bytes of output each watcher has seen."""
    async with AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(Agent.connected(socket)) for _ in range(count)]
        all_there = asyncio.Barrier(count + 1)
        watching = [asyncio.create_task(_follow(agent, name, all_there)) for agent in agents]
        await all_there.wait()
        print(READY, flush=True)
        return await asyncio.gather(*watching)


async def _follow(agent: Agent, name: str, all_there: asyncio.Barrier) -> int:
    seen, waited = 0, False
    async for event in agent.events(name):
        if not waited:
            await all_there.wait()
            waited = True
        seen += len(event.command_output.data)
    return seen


if __name__ == "__main__":
    for each in asyncio.run(watch(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))):
        print(each)
