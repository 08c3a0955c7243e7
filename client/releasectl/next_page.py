"""Which page of a listing is asked for, and the command line that asks for the next one."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import click
from click.core import ParameterSource


class Page(NamedTuple):
    """Which page of a listing somebody wants to see."""

    limit: int
    """How many items it has at most."""
    token: str
    """Where the page before ended; empty for the first one."""
    following: Callable[[str], str]
    """Returns the command line that shows the page of a token."""


def next_page_of(context: click.Context) -> Callable[[str], str]:
    """Return what writes the command line of `context` once more, for another page, quoted for a shell.

    Ages are written as the instants that they came to: a page token belongs to its filter, and in a
    second an age is another instant.
    """
    words = [*context.command_path.split(), *_given(context)]
    return lambda page_token: shlex.join([*words, "--page-token", page_token])


def _given(context: click.Context) -> Iterator[str]:
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if parameter.name == "page_token" or not _was_given(context, parameter) or not value:
            continue
        if isinstance(parameter, click.Argument):
            yield _written(value)
        elif value is True:
            yield parameter.opts[-1]
        else:
            pairs = value.items() if isinstance(value, dict) else ()
            for each in [f"{name}={text}" for name, text in pairs] or [value]:
                yield from (parameter.opts[-1], _written(each))


def _was_given(context: click.Context, parameter: click.Parameter) -> bool:
    source = context.get_parameter_source(parameter.name or "")
    return source is ParameterSource.COMMANDLINE


def _written(value: Any) -> str:
    """What the parser of a value reads as the same value."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case timedelta():
            seconds = f"{value.seconds}.{value.microseconds:06}".rstrip("0").rstrip(".")
            return f"{value.days}d{seconds}s" if value.days else f"{seconds}s"
        case (application, environment):
            return f"{application}/{environment}".rstrip("/")
    return str(value)
