"""One storm, from the first start of the daemon to its account."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from support.docker_engine import Engine
from support.process import DaemonProcess
from support.storm.account import Account, Finding, account_for, audit_log_findings
from support.storm.client import Client, Told, connected
from support.storm.killer import Killer
from support.storm.plan import MARKS, Plan, plan

TARGETS = ("north", "east", "south", "west")
CLIENTS_PER_TARGET = 2
"""So that there is always one release that waits for another."""

SETTLING_SECONDS = 120.0
"""What the last releases get to end once the daemon is left alone."""

SETTINGS = "[releases]\nstop_grace = 1\nmax_concurrent = 3\n"


@dataclass(frozen=True)
class Storm:
    """How often the daemon is killed, and the share of releases (0 to 1) that are to fail or time out."""

    kills: int
    seed: int
    failing: float = 0.0


async def rage(storm: Storm, engine: Engine, image: str) -> Account:
    """Let it rage on an engine whose release containers are all ours, and account for it."""
    before = engine.release_containers()
    told: list[Told] = []
    # In memory, as /run is: what releases need in order to start is kept nowhere else.
    with (
        tempfile.TemporaryDirectory(prefix="rp-storm-", dir="/dev/shm") as name,
        tempfile.TemporaryDirectory(prefix="rp-storm-", dir="/tmp") as marks,
    ):
        folder = Path(marks)
        (folder / MARKS).touch()
        daemon = DaemonProcess(Path(name), engine.url, SETTINGS)
        killer = Killer(daemon, storm.kills, storm.seed)
        try:
            errors = await _run_releases(storm, killer, image, folder, told)
            account = Account(storm.seed, killer.killed)
            account.findings += [Finding("lost", "", text) for text in killer.ended_by_itself + errors]
            await asyncio.to_thread(account_for, account, daemon, told, folder)
            left = engine.release_containers() - before
            account.findings += [Finding("leftover", "", f"the container {each}") for each in sorted(left)]
            left = {path.name for path in daemon.secrets.iterdir()}
            account.findings += [Finding("leftover", "", f"the secrets {each}") for each in sorted(left)]
        finally:
            if daemon.is_alive:
                await asyncio.to_thread(daemon.terminate)
        account.findings += audit_log_findings(daemon.audit, told)
    return account


async def _run_releases(
    storm: Storm, killer: Killer, image: str, folder: Path, told: list[Told]
) -> list[str]:
    """Keep releases coming until the last kill, follow them to their end, and return the clients' errors."""
    calm = asyncio.Event()
    numbers = count()

    def plans(target: str) -> Iterator[Plan]:
        while not calm.is_set():
            yield plan(storm.seed, next(numbers), target, storm.failing)

    async with connected(killer.daemon.socket) as stub:
        client = Client(stub, image, folder)
        clients = [
            asyncio.create_task(client.run_all(plans(target), told.append))
            for target in TARGETS
            for _ in range(CLIENTS_PER_TARGET)
        ]
        try:
            await killer.run()
            await asyncio.to_thread(killer.daemon.start)
            calm.set()
            # Those that have not ended by then are told of in the account.
            ended, _ = await asyncio.wait(clients, timeout=SETTLING_SECONDS)
        finally:
            for task in clients:
                task.cancel()
            await asyncio.wait(clients)
        return [f"a client got {error!r}" for task in ended if (error := task.exception())]
