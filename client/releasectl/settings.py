"""What the verbs of `releasectl commands` do, once their arguments are understood."""

from __future__ import annotations

import click

from releasephase.v1.command_service_pb2 import Command, DeclaredCommands, ListCommandsResponse

from .client import ReleaseClient
from .drawing import draw, in_list
from .exceptions import NotFound
from .exit_codes import ExitCode
from .formatting import plural
from .next_page import Page
from .settings_options import Edit, Place
from .settings_refusals import explaining_what_is_stale, what_of_declared
from .settings_tables import (
    change_parts,
    declared_parts,
    difference_texts,
    rollback_fields,
    settings_table,
    whole_parts,
)
from .views import say, write_json


async def list_commands(client: ReleaseClient, application: str, *, as_json: bool) -> ExitCode:
    """List the commands in an application's settings, and what its images have declared."""
    found = await client.list_commands(application)
    if as_json:
        write_json(found)
        return ExitCode.OK
    if not found.commands:
        say(f"no commands in the settings of {application}")
    draw(settings_table(found.commands), rollback_fields(found.commands), *declared_parts(found.declared))
    return ExitCode.OK


async def show(client: ReleaseClient, application: str, wanted: str, *, as_json: bool) -> ExitCode:
    """Show one command as a whole, in the settings or as images have declared it."""
    found = await client.list_commands(application)
    shown = ListCommandsResponse(declared=_declared_as(wanted, found), etag=found.etag)
    if _in_settings(wanted, found) or not shown.declared:
        shown.commands.append(find(wanted, found, application))
    write_json(shown) if as_json else draw(*whole_parts(shown))
    return ExitCode.OK


async def add(
    client: ReleaseClient, application: str, edit: Edit, position: int, if_etag: str | None, *, as_json: bool
) -> ExitCode:
    """Add a command."""
    async with explaining_what_is_stale(client, application, if_etag):
        added = await client.create_command(
            application, edited(Command(), edit), position=position, etag=if_etag or ""
        )
    _tell(added, f"added {added.label!r} to {application} as number {added.position}", as_json=as_json)
    return ExitCode.OK


async def edit(
    client: ReleaseClient, application: str, wanted: str, edit: Edit, if_etag: str | None, *, as_json: bool
) -> ExitCode:
    """Change what is named about a command, and nothing else."""
    found = await client.list_commands(application)
    before = find(wanted, found, application)
    command = edited(before, edit)
    command.etag = if_etag or found.etag
    async with explaining_what_is_stale(client, application, if_etag):
        after = await client.update_command(command)
    _tell(after, f"{before.label!r} of {application}: {_what_differs(before, after)}", as_json=as_json)
    return ExitCode.OK


async def move(
    client: ReleaseClient, application: str, wanted: str, place: Place, if_etag: str | None, *, as_json: bool
) -> ExitCode:
    """Give a command another place."""
    found = await client.list_commands(application)
    before = find(wanted, found, application)
    position = _position(place, before, found, application)
    async with explaining_what_is_stale(client, application, if_etag):
        after = await client.move_command(before.name, position, etag=if_etag or found.etag)
    _tell(after, f"{before.label!r} of {application}: {_what_differs(before, after)}", as_json=as_json)
    return ExitCode.OK


async def remove(
    client: ReleaseClient, application: str, wanted: str, if_etag: str | None, *, as_json: bool
) -> ExitCode:
    """Remove a command."""
    found = await client.list_commands(application)
    command = find(wanted, found, application)
    async with explaining_what_is_stale(client, application, if_etag):
        left = await client.delete_command(command.name, etag=if_etag or found.etag)
    count = plural(len(left.commands), "command")
    _tell(left, f"removed {command.label!r} from {application}, which has {count} now", as_json=as_json)
    return ExitCode.OK


async def history(client: ReleaseClient, application: str, page: Page, *, as_json: bool) -> ExitCode:
    """Show who has changed an application's settings and how, the newest change first."""
    found = await client.list_command_changes_page(application, page_size=page.limit, page_token=page.token)
    if as_json:
        write_json(found)
        return ExitCode.OK
    if not found.changes:
        say("no changes")
    draw(*change_parts(found.changes, in_list()))
    if found.next_page_token:
        say(f"older ones: {page.following(found.next_page_token)}")
    return ExitCode.OK


def find(wanted: str, settings: ListCommandsResponse, application: str) -> Command:
    """Return the command in the settings that is meant by a label or by a number, counted from 1.

    Raises:
        NotFound: none is.
        click.UsageError: one has that number, and another one that label.
    """
    found = _in_settings(wanted, settings)
    known = ", ".join(f"{number} {command.label!r}" for number, command in enumerate(settings.commands, 1))
    if not found and (declared := _declared_as(wanted, settings)):
        raise NotFound(what_of_declared(wanted, declared[0], application))
    if not found:
        raise NotFound(f"{application} has no command {wanted!r}; it has {known or 'none at all'}")
    if len(found) > 1:
        raise click.UsageError(
            f"{wanted!r} is the number of one command and the label of another; {application} has {known}"
        )
    return found[0]


def _in_settings(wanted: str, settings: ListCommandsResponse) -> list[Command]:
    """Return the commands in the settings that have a label or a number."""
    numbered = enumerate(settings.commands, 1)
    return [command for number, command in numbered if wanted in (command.label, str(number))]


def _declared_as(label: str, settings: ListCommandsResponse) -> list[DeclaredCommands]:
    """Return where images have declared commands with a label, and nothing else of what they declared."""
    found = []
    for each in settings.declared:
        if commands := [command for command in each.commands if command.label == label]:
            found.append(DeclaredCommands())
            found[-1].CopyFrom(each)
            del found[-1].commands[:]
            found[-1].commands.extend(commands)
    return found


def edited(command: Command, edit: Edit) -> Command:
    """Return a command with what is to be different about it; all else stays, also what is not known here."""
    result = Command()
    result.CopyFrom(command)
    for name in ("label", "line", "rollback", "allow_failure", "disabled"):
        if (value := getattr(edit, name)) is not None:
            setattr(result, name, value)
    if edit.argv is not None:
        result.argv.arguments[:] = edit.argv
    if edit.timeout is not None:
        result.timeout.FromTimedelta(edit.timeout)
    elif edit.default_timeout:
        result.ClearField("timeout")
    if edit.environments is not None:
        result.environments[:] = edit.environments
    return result


def _position(place: Place, command: Command, settings: ListCommandsResponse, application: str) -> int:
    """Return the number that a command is to have, counted from 1."""
    if place.to is not None:
        return place.to
    if place.first:
        return 1
    if place.last:
        return len(settings.commands)
    neighbour = find(place.before or place.after or "", settings, application)
    if neighbour == command:
        raise click.UsageError(f"{command.label!r} can't go next to itself")
    others = [each for each in settings.commands if each != command]
    return others.index(neighbour) + (1 if place.before is not None else 2)


def _what_differs(before: Command, after: Command) -> str:
    return "; ".join(difference_texts(before, after)) or "nothing changed, it was so before"


def _tell(message: Command | ListCommandsResponse, text: str, *, as_json: bool) -> None:
    write_json(message) if as_json else say(text)
