"""`releasectl commands`: how its verbs are declared. What they do is in :mod:`releasectl.settings`,
which is imported only when one of them runs."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from .exit_codes import ExitCode
from .imports.names import FILE_NAMES
from .next_page import Page, next_page_of
from .option_names import ADD, EDIT, MOVE, SETTINGS
from .parsing import parse_application, parse_etag
from .reading import only_one, reads
from .settings_options import (
    Edit,
    Form,
    GivenPlace,
    declare_form,
    declare_place,
    edit_of,
    new_command,
    place_of,
)

_application = click.argument("application", metavar="APP", callback=reads(parse_application))
_command = click.argument("command", metavar="COMMAND")
_json = click.option("--json", "as_json", is_flag=True, help="Write JSON instead of text.")
_if_etag = click.option(
    "--if-etag",
    metavar="ETAG",
    callback=reads(parse_etag),
    help="Only if the settings still have this etag, which `list --json` shows.",
)

_OTHER_ENVIRONMENTS = "Run it in this environment only, and not in those before. Repeatable."
_OTHER_ROLLBACK = "A line for /bin/sh that undoes what it did; '' for none."


@click.group(name="commands", subcommand_metavar="VERB [ARGS]...")
def settings() -> None:
    """Manage the release commands in an application's settings.

    A release that is started without commands of its own (`run` without -c and -x) runs those that its
    image declares, then these. Where a verb takes a COMMAND, that is the label of one in the settings,
    or its number in `list`.
    """


@settings.command(name="list")
@_application
@_json
def list_commands(application: str, as_json: bool) -> ExitCode:
    """List the commands of APP in order, then those that its images declare."""
    from .running import run_verb
    from .settings import list_commands

    return run_verb(lambda client: list_commands(client, application, as_json=as_json), SETTINGS)


@settings.command()
@_application
@_command
@_json
def show(application: str, command: str, as_json: bool) -> ExitCode:
    """Show all of COMMAND, which may also be declared by an image of APP."""
    from .running import run_verb
    from .settings import show

    return run_verb(lambda client: show(client, application, command, as_json=as_json), SETTINGS)


@settings.command()
@_application
@click.argument("label", metavar="LABEL")
@declare_form()
@click.option("--allow-failure", is_flag=True, help="When it fails, let the release go on.")
@click.option(
    "--position", metavar="N", type=click.IntRange(min=1), help="Its number in `list`. [default: the last]"
)
@click.option("--disabled", is_flag=True, help="Let releases pass it over until it is enabled.")
@_if_etag
@_json
def add(
    application: str,
    label: str,
    allow_failure: bool,
    position: int | None,
    disabled: bool,
    if_etag: str | None,
    as_json: bool,
    **form: Unpack[Form],
) -> ExitCode:
    """Add a command to the settings of APP.

    \b
    releasectl commands add shop 'Run migrations' --line './manage.py migrate' --timeout 10m
    """
    edit = new_command(label, form, allow_failure=allow_failure, disabled=disabled)
    from .running import run_verb
    from .settings import add

    return run_verb(
        lambda client: add(client, application, edit, position or 0, if_etag, as_json=as_json), ADD
    )


@settings.command()
@_application
@_command
@click.option("--label", metavar="LABEL", help="Call it LABEL from now on.")
@declare_form(environment_help=_OTHER_ENVIRONMENTS, rollback_help=_OTHER_ROLLBACK)
@click.option("--default-timeout", is_flag=True, help="Run it with the daemon's default timeout again.")
@click.option("--all-environments", is_flag=True, help="Run it in all environments again.")
@click.option(
    "--allow-failure/--no-allow-failure", default=None, help="Whether a release goes on when it fails."
)
@_if_etag
@_json
def edit(
    application: str,
    command: str,
    label: str | None,
    default_timeout: bool,
    all_environments: bool,
    allow_failure: bool | None,
    if_etag: str | None,
    as_json: bool,
    **form: Unpack[Form],
) -> ExitCode:
    """Change COMMAND as the options say; all else about it stays."""
    edit = edit_of(
        label,
        form,
        default_timeout=default_timeout,
        all_environments=all_environments,
        allow_failure=allow_failure,
    )
    return _edit(application, command, edit, if_etag, as_json=as_json)


@settings.command()
@_application
@_command
@_if_etag
@_json
def enable(application: str, command: str, if_etag: str | None, as_json: bool) -> ExitCode:
    """Let releases run COMMAND again."""
    return _edit(application, command, Edit(disabled=False), if_etag, as_json=as_json)


@settings.command()
@_application
@_command
@_if_etag
@_json
def disable(application: str, command: str, if_etag: str | None, as_json: bool) -> ExitCode:
    """Let releases pass COMMAND over, until it is enabled."""
    return _edit(application, command, Edit(disabled=True), if_etag, as_json=as_json)


def _edit(application: str, command: str, edit: Edit, if_etag: str | None, *, as_json: bool) -> ExitCode:
    from .running import run_verb
    from .settings import edit as edit_command

    return run_verb(
        lambda client: edit_command(client, application, command, edit, if_etag, as_json=as_json), EDIT
    )


@settings.command()
@_application
@_command
@declare_place
@_if_etag
@_json
def move(
    application: str, command: str, if_etag: str | None, as_json: bool, **given: Unpack[GivenPlace]
) -> ExitCode:
    """Let COMMAND run earlier or later among the commands of APP."""
    place = place_of(given)
    from .running import run_verb
    from .settings import move

    return run_verb(lambda client: move(client, application, command, place, if_etag, as_json=as_json), MOVE)


@settings.command()
@_application
@_command
@_if_etag
@_json
def remove(application: str, command: str, if_etag: str | None, as_json: bool) -> ExitCode:
    """Remove COMMAND from the settings of APP."""
    from .running import run_verb
    from .settings import remove

    return run_verb(lambda client: remove(client, application, command, if_etag, as_json=as_json), SETTINGS)


@settings.command(name="import")
@_application
@click.argument("file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--format",
    type=click.Choice([*FILE_NAMES]),
    multiple=True,
    callback=only_one,
    help="What FILE is. [default: by its name]",
)
@click.option(
    "--service",
    metavar="NAME",
    multiple=True,
    callback=only_one,
    help="Which service of FILE, where it has several.",
)
@click.option(
    "--label",
    metavar="LABEL",
    multiple=True,
    callback=only_one,
    help="The command's label. [default: by FILE's format]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be different, and change nothing.")
@_if_etag
@_json
def import_file(
    application: str,
    file: str,
    format: str | None,
    service: str | None,
    label: str | None,
    dry_run: bool,
    if_etag: str | None,
    as_json: bool,
) -> ExitCode:
    """Take over the release commands in FILE, another platform's configuration.

    \b
    releasectl commands import shop Procfile --dry-run

    FILE is a Procfile, heroku.yml, fly.toml, render.yaml, railway.json, railway.toml, app.json (Dokku) or
    compose.yaml, under a name such as fly.production.toml, too; `-` is stdin, and needs --format. A command
    whose label is in the settings of APP takes the place of the one there; no other is removed.
    """
    if dry_run and if_etag:
        raise click.UsageError("a dry run changes nothing: leave out --if-etag")
    from .settings_import import Source, import_file

    source = Source(None if file == "-" else Path(file), format, service or "", label)
    return import_file(application, source, if_etag, dry_run=dry_run, as_json=as_json)


@settings.command()
@_application
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@click.option("--page-token", default="", metavar="TOKEN", help="Where the page before ended.")
@_json
def history(application: str, limit: int, page_token: str, as_json: bool) -> ExitCode:
    """Show who has changed the settings of APP and how, the newest change first."""
    page = Page(limit, page_token, next_page_of(click.get_current_context()))
    from .running import run_verb
    from .settings import history

    return run_verb(lambda client: history(client, application, page, as_json=as_json), SETTINGS)
