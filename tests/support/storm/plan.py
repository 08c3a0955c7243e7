"""Which releases a storm starts, and how each of them has to end: a function of the seed and its number."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from releasephase.v1.release_pb2 import (
    CONTAINER_MODE_PER_COMMAND,
    CONTAINER_MODE_PER_RELEASE,
    ContainerMode,
    Mount,
)
from releasephase.v1.release_service_pb2 import EnvironmentVariable, ReleaseCommand, StartReleaseRequest
from support.app import seconds
from support.storm.scripts import Script, any_script, numbered

MOST_COMMANDS = 4
HANG_TIMEOUT = 8.0
"""Seconds that a command gets which hangs; what it writes before takes far less."""

MODES: Sequence[ContainerMode.ValueType] = (CONTAINER_MODE_PER_RELEASE, CONTAINER_MODE_PER_COMMAND)
NO_CAUSE = "UNSPECIFIED"
MARKS = "marks"
"""The file in the mounted folder to which each command appends its tag when it starts."""


class Planned(NamedTuple):
    """One command, and how it ends."""

    script: Script
    state: str
    timeout: float | None = None


@dataclass(frozen=True)
class Plan:
    """One release."""

    number: int
    target: str
    request_id: str
    commands: tuple[Planned, ...]
    mode: ContainerMode.ValueType

    def tag(self, index: int) -> str:
        """What a command appends to the marks."""
        return f"r{self.number}-c{index}"

    @property
    def cause(self) -> str:
        """The cause of the failure that the release ends with, or UNSPECIFIED."""
        causes = {"FAILED": "COMMAND_FAILED", "TIMED_OUT": "COMMAND_TIMED_OUT"}
        return next((causes[command.state] for command in self.commands if command.state in causes), NO_CAUSE)

    @property
    def run_tags(self) -> list[str]:
        """The marks that the release leaves, in their order."""
        return [self.tag(index) for index, command in enumerate(self.commands) if command.state != "SKIPPED"]

    def request(self, image: str, folder: Path) -> StartReleaseRequest:
        """The request that starts it; the marks are in `folder`."""
        return StartReleaseRequest(
            application="storm",
            environment=self.target,
            image=image,
            commands=[self._command(index) for index in range(len(self.commands))],
            env=[EnvironmentVariable(name="TAG", value=f"r{self.number}", secret=True)],
            mounts=[Mount(source=str(folder), target="/storm")],
            request_id=self.request_id,
            container_mode=self.mode,
        )

    def _command(self, index: int) -> ReleaseCommand:
        planned = self.commands[index]
        # The tag by way of the environment: its values have to survive, too.
        line = f"echo $TAG-c{index} >> /storm/{MARKS}; {planned.script.line}"
        command = ReleaseCommand(label=self.tag(index), line=line)
        if planned.timeout is not None:
            command.timeout.CopyFrom(seconds(planned.timeout))
        return command


def plan(seed: int, number: int, target: str, failing: float) -> Plan:
    """The release of this number; a share of `failing` (0 to 1) has a command that fails or hangs."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311 - not for secrets
    count = rng.randint(1, MOST_COMMANDS)
    commands = [Planned(any_script(rng, f"r{number}-c{index}"), "SUCCEEDED") for index in range(count)]
    if rng.random() < failing:
        last = rng.randrange(count)
        ending = _failing if rng.random() < 0.5 else _hanging
        commands[last] = ending(rng, f"r{number}-c{last}")
        commands[last + 1 :] = [command._replace(state="SKIPPED") for command in commands[last + 1 :]]
    request_id = uuid.UUID(int=rng.getrandbits(128), version=4)
    return Plan(number, target, str(request_id), tuple(commands), rng.choice(MODES))


def _failing(rng: random.Random, tag: str) -> Planned:
    return Planned(any_script(rng, tag).then(f"exit {rng.randint(1, 120)}"), "FAILED")


def _hanging(rng: random.Random, tag: str) -> Planned:
    return Planned(numbered(rng, tag).then("sleep 1000"), "TIMED_OUT", HANG_TIMEOUT)
