"""Kills the daemon at random moments, also while it starts, and starts it again."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

from support.process import DaemonProcess

WHILE_STARTING = 0.25
"""The share of kills that come while the daemon starts."""

STARTING_SECONDS = 1.0
SERVING_SECONDS = 3.0
AWAY_SECONDS = 1.5
"""The longest that it starts, serves and is away for; a third of the times it is started again at once."""


@dataclass
class Killer:
    """Kills a daemon `kills` times; the moments follow from the seed."""

    daemon: DaemonProcess
    kills: int
    seed: int
    killed: int = 0
    ended_by_itself: list[str] = field(default_factory=list)
    """What was to be killed and had ended before."""

    async def run(self) -> None:
        """Kill it as often as was asked for. It is down, or what is left of it, at the end."""
        rng = random.Random(self.seed)  # noqa: S311 - not for secrets
        while self.killed + len(self.ended_by_itself) < self.kills:
            if rng.random() < WHILE_STARTING:
                self.daemon.launch()
                await asyncio.sleep(rng.uniform(0, STARTING_SECONDS))
            else:
                await asyncio.to_thread(self.daemon.start)
                await asyncio.sleep(rng.uniform(0, SERVING_SECONDS))
            await asyncio.to_thread(self._kill)
            if rng.random() > 1 / 3:
                await asyncio.sleep(rng.uniform(0, AWAY_SECONDS))

    def _kill(self) -> None:
        if self.daemon.is_alive:
            self.daemon.kill()
            self.killed += 1
        else:
            code = self.daemon.wait()
            self.ended_by_itself.append(f"the daemon ended by itself, with {code}")
