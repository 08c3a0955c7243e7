"""The options of `releasectl logs` that choose lines."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

import click

from .selection import LineOptions

Function = TypeVar("Function", bound=Callable[..., Any])


class Given(TypedDict):
    """What the command line says."""

    grep: str | None
    ignore_case: bool
    command: str | None
    stream: str | None
    tail: int | None
    timestamps: bool


_OPTIONS = (
    click.option("--grep", metavar="REGEX", help="Only lines in which this is found."),
    click.option("-i", "--ignore-case", is_flag=True, help="Let --grep find capital letters as small ones."),
    click.option("--command", metavar="N|LABEL", help="Only of this command; the first is 1."),
    click.option("--stream", type=click.Choice(("stdout", "stderr")), help="Only of this stream."),
    click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines."),
    click.option("-t", "--timestamps", is_flag=True, help="Each line with its time."),
)


def declare(function: Function) -> Function:
    """Add the options to a verb."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def line_options(given: Given) -> LineOptions:
    """Return what was asked for. Raises click.UsageError for what can't be meant."""
    return LineOptions(
        pattern=_pattern(given["grep"], ignore_case=given["ignore_case"]),
        command=given["command"],
        stream=given["stream"],
        tail=given["tail"],
        timestamps=given["timestamps"],
    )


def _pattern(text: str | None, *, ignore_case: bool) -> re.Pattern[str] | None:
    if text is None:
        if ignore_case:
            raise click.UsageError("--ignore-case says how to --grep: give both, or none")
        return None
    try:
        with warnings.catch_warnings():
            # What means something else to grep, such as [[:digit:]], is no error to Python yet.
            warnings.simplefilter("error", FutureWarning)
            return re.compile(text, re.IGNORECASE if ignore_case else 0)
    except (re.error, OverflowError, RecursionError, FutureWarning) as error:
        raise click.BadParameter(f"{text!r} is no regular expression: {error}", param_hint="--grep") from None
