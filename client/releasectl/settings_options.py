"""The options of `releasectl commands`: how they are declared, and what they say about a command."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict, TypeVar

import click

from .parsing import parse_argv, parse_duration
from .reading import reads

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """What is to be different about a command; None for what stays as it is."""

    label: str | None = None
    line: str | None = None
    argv: Sequence[str] | None = None
    """Instead of a line."""
    timeout: timedelta | None = None
    default_timeout: bool = False
    """Whether it is to have the daemon's own."""
    environments: Sequence[str] | None = None
    """Empty for all."""
    allow_failure: bool | None = None
    rollback: str | None = None
    """Empty for none."""
    disabled: bool | None = None

    def __bool__(self) -> bool:
        return self != Edit()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is to go; one of these is given."""

    to: int | None = None
    """Counted from 1."""
    first: bool = False
    last: bool = False
    before: str | None = None
    """The label or the number of another command."""
    after: str | None = None


_FORM = (
    click.option("--line", metavar="LINE", help="What to run: a line for /bin/sh."),
    click.option(
        "--exec",
        "argv",
        metavar="'PROGRAM ARGUMENTS'",
        callback=reads(parse_argv),
        help="What to run: a program and its arguments. Blanks and quotes are read as a shell does.",
    ),
    click.option(
        "--timeout",
        metavar="DURATION",
        callback=reads(parse_duration),
        help="How long it may run, such as 90s or 1h30m.",
    ),
)
_PLACE = (
    click.option("--to", metavar="N", type=click.IntRange(min=1), help="Make it the Nth."),
    click.option("--first", is_flag=True, help="Make it the first."),
    click.option("--last", is_flag=True, help="Make it the last."),
    click.option("--before", metavar="COMMAND", help="Put it right before this one."),
    click.option("--after", metavar="COMMAND", help="Put it right after this one."),
)


class Form(TypedDict):
    """What `add` and `edit` say alike, each None or empty if it was not given."""

    line: str | None
    argv: Sequence[str] | None
    timeout: timedelta | None
    environments: tuple[str, ...]
    rollback: str | None


class GivenPlace(TypedDict):
    """The options of `move`."""

    to: int | None
    first: bool
    last: bool
    before: str | None
    after: str | None


def declare_form(
    environment_help: str = "Run it in this environment only. Repeatable. [default: in all]",
    rollback_help: str = "A line for /bin/sh that undoes what it did.",
) -> Callable[[Function], Function]:
    """Declare what a command is like; two helps tell of `edit` what becomes of what was there."""
    environments = click.option(
        "--environment", "environments", metavar="ENV", multiple=True, help=environment_help
    )
    rollback = click.option("--rollback", metavar="LINE", help=rollback_help)
    return lambda function: _declared((*_FORM, environments, rollback), function)


def declare_place(function: Function) -> Function:
    """Declare where a command may go."""
    return _declared(_PLACE, function)


def _declared(options: Sequence[Callable[[Function], Function]], function: Function) -> Function:
    for option in reversed(options):
        function = option(function)
    return function


def new_command(label: str, form: Form, *, allow_failure: bool, disabled: bool) -> Edit:
    """Return what a command that is added is like. Raises click.UsageError if there is nothing to run."""
    _refuse_two_forms(form)
    if form["line"] is None and form["argv"] is None:
        raise click.UsageError("say what is to run, with --line or --exec")
    return Edit(label=label, allow_failure=allow_failure, disabled=disabled, **form)


def edit_of(
    label: str | None,
    form: Form,
    *,
    default_timeout: bool,
    all_environments: bool,
    allow_failure: bool | None,
) -> Edit:
    """Return what is to be different. Raises click.UsageError if that is nothing, or contradicts itself."""
    _refuse_two_forms(form)
    if form["timeout"] is not None and default_timeout:
        raise click.UsageError("give --timeout or --default-timeout, not both")
    if form["environments"] and all_environments:
        raise click.UsageError("give --environment or --all-environments, not both")
    edit = Edit(
        label=label,
        line=form["line"],
        argv=form["argv"],
        timeout=form["timeout"],
        default_timeout=default_timeout,
        environments=form["environments"] if form["environments"] or all_environments else None,
        allow_failure=allow_failure,
        rollback=form["rollback"],
    )
    if not edit:
        raise click.UsageError("say what is to be different, such as --line or --timeout")
    return edit


def place_of(given: GivenPlace) -> Place:
    """Return where a command is to go. Raises click.UsageError unless one option says so."""
    if sum(value not in (None, False) for value in given.values()) != 1:
        raise click.UsageError("say where to, with one of --to, --first, --last, --before and --after")
    return Place(**given)


def _refuse_two_forms(form: Form) -> None:
    if form["line"] is not None and form["argv"] is not None:
        raise click.UsageError("give --line or --exec, not both")
