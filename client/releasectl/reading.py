"""Lets click read its parameters with our parsers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

Callback = Callable[[click.Context, click.Parameter, Any], Any]


def reads(parse: Callable[[str], object]) -> Callback:
    """Return a callback that parses a value, or each of several.

    What `parse` raises as a ValueError is shown to the person as wrong usage.
    """

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        try:
            if isinstance(value, tuple):
                return tuple(map(parse, value))
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), context, parameter) from None

    return callback


def reads_mapping(parse: Callable[[Any], Mapping[str, str]]) -> Callback:
    """Return a callback that parses several values into one mapping; the last one wins."""
    read = reads(parse)

    def callback(context: click.Context, parameter: click.Parameter, values: Sequence[Any]) -> Any:
        merged: dict[str, str] = {}
        for part in read(context, parameter, values):
            merged |= part
        return merged

    return callback


def only_one(context: click.Context, parameter: click.Parameter, values: Sequence[Any]) -> Any:
    """Return the one value of an option, or None; of two, neither can be the one that is meant."""
    if len(values) > 1:
        raise click.BadParameter("can be given once only", context, parameter)
    return values[0] if values else None
