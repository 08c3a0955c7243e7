"""The command line: `releasectl`.

Its verbs are declared here and done in :mod:`releasectl.verbs`, which is imported only
when a verb runs: `releasectl --help` loads no gRPC.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, Unpack

import click

from . import history_options, log_options, run_options, value_options
from .exit_codes import ExitCode
from .filters import event_filter, joined
from .history_options import read_time
from .next_page import Page, next_page_of
from .option_names import OUTCOME, RETRY
from .options import Receipt, RetryOptions, Target
from .parsing import parse_release_name, parse_scope
from .reading import reads
from .settings_cli import settings

Function = TypeVar("Function", bound=Callable[..., Any])

_OUTCOMES = ("deployed", "abandoned")

_release = click.argument("release", metavar="RELEASE", callback=reads(parse_release_name))
_json = click.option("--json", "as_json", is_flag=True, help="Write JSON instead of text.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="releasephase", message="releasectl %(version)s")
def commands() -> None:
    """Run release commands in an application's new image, before it goes live.

    \b
    Exit codes: 0 ok · 1 release failed · 2 usage · 3 not found · 4 permission denied
    5 daemon unreachable · 6 cancelled · 124 timed out · 130 interrupted
    """


@commands.command(cls=run_options.InOrder)
@click.argument("target", metavar="APP/ENV", callback=reads(Target.parse))
@click.argument("image", metavar="IMAGE")
@run_options.declare
@click.option("-d", "--detach", is_flag=True, help="Print the release's name and do not wait for it.")
@_json
def run(
    target: Target, image: str, detach: bool, as_json: bool, **given: Unpack[run_options.Given]
) -> ExitCode:
    """Run release commands in IMAGE for the target APP/ENV and wait for the result.

    \b
    releasectl run shop/live registry.example/shop:42 \\
        -c 'migrate=python manage.py migrate' -c 'self-test=./self-test'

    Without -c and -x it runs those that IMAGE declares, then those in the settings of APP (see
    `releasectl commands`). Ctrl-C stops watching, not the release.
    """
    options = run_options.release_options(given)
    from .running import run_verb
    from .verbs import run

    return run_verb(lambda client: run(client, target, image, options, detach=detach, as_json=as_json))


@commands.command(cls=run_options.InOrder)
@click.argument("target", metavar="APP/ENV", callback=reads(Target.parse))
@click.argument("image", metavar="IMAGE")
@run_options.declare
@_json
def plan(target: Target, image: str, as_json: bool, **given: Unpack[run_options.Given]) -> ExitCode:
    """Show what `run` would do with IMAGE in the target APP/ENV. Nothing is started, stored or pulled.

    It takes the options of `run`, and exits with 0 if the release would be accepted.
    """
    options = run_options.release_options(given)
    from .plan import plan
    from .running import run_verb

    return run_verb(lambda client: plan(client, target, image, options, as_json=as_json))


@commands.command()
@_release
@click.option("--from-start", is_flag=True, help="Begin at the first command, not at the one that failed.")
@value_options.declare
@click.option("--request-id", metavar="UUID", help="Makes it safe to repeat this very call.")
@click.option("--requested-by", default="", metavar="TEXT", help="Who asks, for the audit log.")
@click.option("-d", "--detach", is_flag=True, help="Print the release's name and do not wait for it.")
@_json
def retry(
    release: str,
    from_start: bool,
    request_id: str | None,
    requested_by: str,
    detach: bool,
    as_json: bool,
    **given: Unpack[value_options.Given],
) -> ExitCode:
    """Run what is left of RELEASE, which failed or was cancelled, as a new release; wait for the result.

    It begins at the first command that has not succeeded; those before it are skipped. Image, commands and
    options are those of RELEASE. The values of its variables are stored nowhere, so give all of them again.

    A command that was stopped or timed out runs once more from its beginning, and so does one of a release
    that was INTERRUPTED or lost its engine: it may have done all its work already. Look at it first.
    """
    options = RetryOptions(
        from_start=from_start,
        request_id=request_id,
        requested_by=requested_by,
        **value_options.values(given),
    )
    from .running import run_verb
    from .verbs import retry

    return run_verb(lambda client: retry(client, release, options, detach=detach, as_json=as_json), RETRY)


@commands.command()
@_release
@_json
def watch(release: str, as_json: bool) -> ExitCode:
    """Follow RELEASE from its beginning to its end; exit by its result."""
    from .running import run_verb
    from .verbs import watch

    return run_verb(lambda client: watch(client, release, as_json=as_json))


@commands.command()
@_release
@click.option("-f", "--follow", is_flag=True, help="Go on until the release has ended.")
@log_options.declare
@_json
def logs(release: str, follow: bool, as_json: bool, **given: Unpack[log_options.Given]) -> ExitCode:
    """Show the deployment log of RELEASE, or lines of its output."""
    options = log_options.line_options(given)
    from .running import run_verb
    from .verbs import logs

    return run_verb(lambda client: logs(client, release, options, follow=follow, as_json=as_json))


@commands.command()
@click.argument("scope", metavar="[APP[/ENV]]", required=False, callback=reads(parse_scope))
@history_options.declare
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@click.option("--page-token", default="", metavar="TOKEN", help="Where the page before ended.")
@_json
def history(
    scope: tuple[str, str] | None,
    limit: int,
    page_token: str,
    as_json: bool,
    **given: Unpack[history_options.Given],
) -> ExitCode:
    """List releases, newest first."""
    filter, order_by = history_options.history_filter(scope, given), given["order_by"]
    page = Page(limit, page_token, next_page_of(click.get_current_context()))
    from .running import run_verb
    from .verbs import history

    return run_verb(lambda client: history(client, filter, page, order_by=order_by, as_json=as_json))


@commands.command()
@_release
@_json
def show(release: str, as_json: bool) -> ExitCode:
    """Show RELEASE and its commands."""
    from .running import run_verb
    from .verbs import show

    return run_verb(lambda client: show(client, release, as_json=as_json))


@commands.command()
@_release
@click.option("--reason", default="", metavar="TEXT", help="Why, for the audit log.")
@_json
def cancel(release: str, reason: str, as_json: bool) -> ExitCode:
    """Ask for RELEASE to be cancelled. A running command gets SIGTERM, then SIGKILL."""
    from .running import run_verb
    from .verbs import cancel

    return run_verb(lambda client: cancel(client, release, reason, as_json=as_json))


@commands.command()
@_release
@click.argument("result", metavar="deployed|abandoned", type=click.Choice(_OUTCOMES, case_sensitive=False))
@click.option("--reason", default="", metavar="TEXT", help="Why, for the audit log.")
@click.option(
    "--run-rollback", is_flag=True, help="Undo what succeeded, where the commands say how; not if deployed."
)
@value_options.declare
@_json
def outcome(
    release: str,
    result: str,
    reason: str,
    run_rollback: bool,
    as_json: bool,
    **given: Unpack[value_options.Given],
) -> ExitCode:
    """Report whether the deployment that RELEASE belongs to went live. It is reported once.

    Variables are for --run-rollback, which needs those of RELEASE again.
    """
    if run_rollback and result == "deployed":
        raise click.UsageError("--run-rollback is for a deployment that was abandoned: leave it out")
    values = value_options.values(given)
    if (values["env"] or values["secrets"]) and not run_rollback:
        raise click.UsageError("--env, --env-file and --secret are for --run-rollback: leave them out")
    from .running import run_verb
    from .verbs import outcome

    return run_verb(
        lambda client: outcome(
            client, release, result.upper(), reason, values, run_rollback=run_rollback, as_json=as_json
        ),
        OUTCOME,
    )


@commands.command()
@_release
@click.argument("after", metavar="[RELEASE]", required=False, callback=reads(parse_release_name))
@_json
def diff(release: str, after: str | None, as_json: bool) -> ExitCode:
    """Show what differs between two releases, or since the last one that succeeded.

    The first is what was before. With one RELEASE only, it is compared with the last one of its target
    before it that succeeded.
    """
    from .diff import diff
    from .running import run_verb

    return run_verb(lambda client: diff(client, release, after or "", as_json=as_json))


@commands.command()
@click.argument("scope", metavar="[APP[/ENV]]", required=False, callback=reads(parse_scope))
@click.option(
    "--since", metavar="AGE|DATE", callback=reads(read_time), help="Only runs since 30d, 12h or an ISO date."
)
@_json
def stats(scope: tuple[str, str] | None, since: datetime | None, as_json: bool) -> ExitCode:
    """Tell how often commands ran and failed, and how long they take, for each target and label."""
    application, environment = scope or ("", "")
    from .running import run_verb
    from .stats import stats

    return run_verb(lambda client: stats(client, application, environment, since, as_json=as_json))


@commands.command()
@_json
def status(as_json: bool) -> ExitCode:
    """Show how the daemon is doing."""
    from .running import run_verb
    from .verbs import status

    return run_verb(lambda client: status(client, as_json=as_json))


@commands.command()
@_json
def drain(as_json: bool) -> ExitCode:
    """Let the daemon finish what is under way and end. It accepts and starts nothing more."""
    from .running import run_verb
    from .verbs import drain

    return run_verb(lambda client: drain(client, as_json=as_json))


commands.add_command(settings)


@commands.group()
def audit() -> None:
    """Look after the audit log."""


@audit.command()
@click.option(
    "--receipt",
    "receipts",
    metavar="S:D",
    multiple=True,
    callback=reads(Receipt.parse),
    help="What the log has to prove that it still has. Repeatable.",
)
@click.option("--offline", metavar="FILE", help="A log's database, or an export: no daemon is asked.")
@_json
def verify(receipts: tuple[Receipt, ...], offline: str | None, as_json: bool) -> ExitCode:
    """Check that the audit log is sound: exit code 0 if it is, 1 if it is not."""
    from .running import run_alone, run_verb
    from .verbs import verify, verify_offline

    if offline is not None:
        return run_alone(lambda: verify_offline(offline, receipts, as_json=as_json))
    return run_verb(lambda client: verify(client, receipts, as_json=as_json))


@audit.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--force", is_flag=True, help="Replace FILE if it is there.")
def backup(file: Path, force: bool) -> ExitCode:
    """Copy the audit log to FILE while the daemon goes on. The caller has to be allowed to read it."""
    from .running import run_verb
    from .verbs import backup

    return run_verb(lambda client: backup(client, file, force=force))


@audit.command()
@click.option(
    "--release", metavar="RELEASE", callback=reads(parse_release_name), help="Only those of this release."
)
@click.option("--kind", metavar="KIND", default="", help="Only those of this kind, such as command_started.")
@click.option(
    "--since", metavar="AGE|DATE", callback=reads(read_time), help="Only those since 2h, 1d or an ISO date."
)
@click.option("--filter", metavar="FILTER", default="", help="A filter as the API takes it, besides.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
@click.option("--page-token", default="", metavar="TOKEN", help="Where the page before ended.")
@_json
def events(
    release: str | None,
    kind: str,
    since: datetime | None,
    filter: str,
    limit: int,
    page_token: str,
    as_json: bool,
) -> ExitCode:
    """List the newest events, in the order in which they happened."""
    filter = joined(filter, event_filter(kind=kind, since=since))
    page = Page(limit, page_token, next_page_of(click.get_current_context()))
    from .events import events
    from .running import run_verb

    return run_verb(lambda client: events(client, release or "", filter, page, as_json=as_json))


@audit.command()
@click.option(
    "-o",
    "--output",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to FILE instead of stdout; one that is there is gone on with.",
)
@click.option("--after", metavar="SEQUENCE", type=click.IntRange(0), help="Only events after this one.")
@click.option("--no-output", is_flag=True, help="Leave out what containers wrote.")
def export(file: Path | None, after: int | None, no_output: bool) -> ExitCode:
    """Write all events as lines of JSON that can be verified anywhere."""
    from .events import export
    from .running import run_verb

    return run_verb(lambda client: export(client, file, after, output=not no_output))


def main() -> None:
    """Run the command line and exit."""
    # gRPC's own log lines, such as of a daemon that restarts, would tear the live view apart.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        _check_encoding(sys.argv[1:])
        return commands.main(standalone_mode=False) or ExitCode.OK
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except OSError:
        # --help on a full disk: nothing can be said, not even at the interpreter's exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return ExitCode.FAILED


def _check_encoding(arguments: list[str]) -> None:
    """Refuse what is no text: the contract's strings are UTF-8."""
    for argument in arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            readable = argument.encode(errors="surrogateescape").decode(errors="backslashreplace")
            raise click.UsageError(f"the argument {readable!r} is not UTF-8")
