"""An application's settings as a service tells them, and `releasectl commands` run against it."""

import shlex
from typing import Any

from google.protobuf.duration_pb2 import Duration

from releasephase.v1.command_service_pb2 import Command, CommandChange, ListCommandsResponse
from releasephase.v1.release_pb2 import Argv, Caller
from support.command_line import Result, releasectl
from support.scripted_service import Refusal, ScriptedService
from support.story import BEGIN, timestamp


def a_command(number: int, label: str, **fields: Any) -> Command:
    """A command of the application shop."""
    if "argv" not in fields:
        fields.setdefault("line", f"./{label}")
    name = f"applications/shop/commands/01939d3b-7e4a-7cc3-98c4-{number:012}"
    return Command(name=name, label=label, position=number, etag="7", **fields)


MIGRATE = a_command(
    1, "Run migrations", line="./manage.py migrate", timeout=Duration(seconds=600), rollback="./undo"
)
CHECK = a_command(
    2,
    "self-test",
    argv=Argv(arguments=["./check", "a b"]),
    environments=["live", "stage"],
    allow_failure=True,
)
NOTIFY = a_command(3, "notify", disabled=True)
SETTINGS = ListCommandsResponse(commands=[MIGRATE, CHECK, NOTIFY], etag="7")
NONE = ListCommandsResponse(etag="0")


def a_change(sequence: int, action: str, before: Command | None, after: Command | None) -> CommandChange:
    """A change of these settings, by jane."""
    return CommandChange(
        sequence=sequence,
        event_time=timestamp(BEGIN),
        caller=Caller(uid=1000, user="jane"),
        action=CommandChange.Action.Value(f"ACTION_{action}"),
        before=before,
        after=after,
    )


async def commands(service: ScriptedService, line: str) -> Result:
    return await releasectl(service.socket, "commands", *shlex.split(line))


def changed(service: ScriptedService, method: str, answer: Command | ListCommandsResponse | Refusal) -> None:
    """Let the settings be read, and then changed."""
    service.answer("ListCommands", SETTINGS)
    service.answer(method, answer)
