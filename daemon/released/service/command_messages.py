"""From settings, and what images have declared, to the messages of CommandService."""

from collections.abc import Iterator
from datetime import datetime

from released.audit.records import ReleaseRecord
from released.model.caller import Caller
from released.model.release import Command
from released.model.settings import ApplicationSettings, CommandChange, SettingsCommand
from released.model.states import Source
from released.service.convert import caller_message, release_name
from released.service.names import command_name
from releasephase.v1 import command_service_pb2, release_pb2

DECLARED = frozenset({Source.IMAGE, Source.PROCFILE})


def settings_messages(
    application: str, settings: ApplicationSettings
) -> Iterator[command_service_pb2.Command]:
    """Yield the commands in an application's settings, in order."""
    for position, command in enumerate(settings.commands, 1):
        yield _command(application, command, position, settings.etag)


def change_message(
    application: str, change: CommandChange, sequence: int, time: datetime, caller: Caller | None
) -> command_service_pb2.CommandChange:
    """Return one of the changes that an event tells of."""
    message = command_service_pb2.CommandChange(
        sequence=sequence,
        caller=caller_message(caller) if caller else None,
        action=command_service_pb2.CommandChange.Action.Value(f"ACTION_{change.action}"),
        before=_command(application, change.before, change.before_position) if change.before else None,
        after=_command(application, change.after, change.after_position) if change.after else None,
    )
    message.event_time.FromDatetime(time)
    return message


def declared_message(record: ReleaseRecord) -> command_service_pb2.DeclaredCommands:
    """Return what the image of a release has declared."""
    declared = [command for command in record.spec.commands if command.source in DECLARED]
    message = command_service_pb2.DeclaredCommands(
        environment=record.spec.environment,
        release=release_name(record.release_id),
        image=record.spec.image,
        image_digest=record.image_digest,
        commands=(_declared(command, position) for position, command in enumerate(declared, 1)),
    )
    for command in declared:
        message.source = release_pb2.CommandRun.Source.Value(f"SOURCE_{command.source}")
    return message


def _command(
    application: str, command: SettingsCommand, position: int, etag: str = ""
) -> command_service_pb2.Command:
    message = command_service_pb2.Command(
        name=command_name(application, command.command_id),
        label=command.label,
        environments=command.environments,
        allow_failure=command.allow_failure,
        rollback=command.rollback,
        disabled=command.disabled,
        position=position,
        etag=etag,
    )
    _set_what_runs(message, command)
    if command.timeout is not None:
        message.timeout.FromTimedelta(command.timeout)
    return message


def _declared(command: Command, position: int) -> command_service_pb2.Command:
    message = command_service_pb2.Command(
        label=command.label,
        allow_failure=command.allow_failure,
        rollback=command.rollback,
        position=position,
    )
    _set_what_runs(message, command)
    message.timeout.FromTimedelta(command.timeout)
    return message


def _set_what_runs(message: command_service_pb2.Command, command: SettingsCommand | Command) -> None:
    if command.line is not None:
        message.line = command.line
    else:
        message.argv.arguments.extend(command.argv or ())
