"""What a command in a request to CommandService must look like, and what becomes of it."""

from collections.abc import Iterator, Sequence

from released.errors import Violation
from released.model.command_form import MOST_COMMANDS
from released.model.forms import SLUG
from released.model.settings import SettingsCommand
from released.service.validation import check_command
from releasephase.v1.command_service_pb2 import Command

MOST_ENVIRONMENTS = 100


def command_violations(field: str, command: Command) -> Iterator[Violation]:
    """Yield a violation for each part of a command whose form is wrong."""
    yield from check_command(field, command)
    if len(command.environments) > MOST_ENVIRONMENTS:
        yield Violation(f"{field}.environments", f"must be {MOST_ENVIRONMENTS} at most")
        return
    seen = set()
    for index, environment in enumerate(command.environments):
        place = f"{field}.environments[{index}]"
        if not SLUG.fullmatch(environment):
            yield Violation(place, "must be 1 to 63 lower-case letters, digits and inner hyphens")
        elif environment in seen:
            yield Violation(place, f"{environment} is there twice")
        seen.add(environment)


def list_violations(commands: Sequence[Command]) -> Iterator[Violation]:
    """Yield a violation for each part of a list of commands whose form is wrong."""
    if len(commands) > MOST_COMMANDS:
        yield Violation("commands", f"must be {MOST_COMMANDS} at most, not {len(commands)}")
        return
    labels = set()
    for index, command in enumerate(commands):
        yield from command_violations(f"commands[{index}]", command)
        if command.label in labels:
            yield Violation(f"commands[{index}].label", "is the label of another one, too")
        labels.add(command.label)


def read_command(command: Command, command_id: str) -> SettingsCommand:
    """Return what a well-formed command is to be in settings."""
    is_line = command.WhichOneof("command") == "line"
    return SettingsCommand(
        command_id=command_id,
        label=command.label,
        line=command.line if is_line else None,
        argv=None if is_line else tuple(command.argv.arguments),
        timeout=command.timeout.ToTimedelta() if command.HasField("timeout") else None,
        environments=tuple(command.environments),
        allow_failure=command.allow_failure,
        rollback=command.rollback,
        disabled=command.disabled,
    )
