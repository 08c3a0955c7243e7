"""The options of `releasectl history`: how they are declared, and the filter that they come to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypedDict, TypeVar

import click

from .filters import joined, release_filter
from .parsing import parse_duration, parse_pair, parse_since
from .reading import reads, reads_mapping

Function = TypeVar("Function", bound=Callable[..., Any])

STATES = ("queued", "preparing", "running", "succeeded", "failed", "cancelled")
CAUSES = (
    "command_failed",
    "command_timed_out",
    "out_of_memory",
    "image_unavailable",
    "container_failed",
    "engine_lost",
    "interrupted",
    "queue_timed_out",
    "release_timed_out",
    "commands_invalid",
)
OUTCOMES = ("none", "deployed", "abandoned")
ORDERS = ("create_time", "end_time", "duration")


def read_time(text: str) -> datetime:
    """Return the instant written as an age or a date. Raises ValueError."""
    return parse_since(text, datetime.now().astimezone())


def _order(text: str) -> str:
    field, *suffix = text.split() or [""]
    if field not in ORDERS or suffix not in ([], ["desc"]):
        raise ValueError(f"write {', '.join(ORDERS)}, or one of these with ' desc' behind it, not {text!r}")
    return " ".join((field, *suffix))


def _one_of(choices: tuple[str, ...]) -> click.Choice[str]:
    return click.Choice(choices, case_sensitive=False)


_DECLARED = (
    click.option("--state", type=_one_of(STATES), help="Only those in this state."),
    click.option("--cause", type=_one_of(CAUSES), metavar="CAUSE", help="Only those that failed for this."),
    click.option("--outcome", type=_one_of(OUTCOMES), help="Only those whose deployment ended so."),
    click.option(
        "--since",
        metavar="AGE|DATE",
        callback=reads(read_time),
        help="Only those since 2h, 1d or an ISO date.",
    ),
    click.option(
        "--until", metavar="AGE|DATE", callback=reads(read_time), help="Only those before 2h ago or a date."
    ),
    click.option("--caller", metavar="USER|UID", help="Only those that this user of the host started."),
    click.option("--requested-by", metavar="TEXT", help="Only those that were requested by this."),
    click.option("--image", metavar="IMAGE", help="Only those of this image; 'shop:*' for any of its tags."),
    click.option("--digest", metavar="SHA256", help="Only those of the image with this digest."),
    click.option(
        "--longer-than",
        metavar="DURATION",
        callback=reads(parse_duration),
        help="Only those that took more than this.",
    ),
    click.option(
        "--label",
        metavar="K=V",
        multiple=True,
        callback=reads_mapping(parse_pair),
        help="Only those with this label. Repeatable.",
    ),
    click.option("--filter", metavar="FILTER", default="", help="A filter as the API takes it, besides."),
    click.option(
        "--order-by",
        metavar="FIELD",
        default="",
        callback=lambda context, parameter, value: reads(_order)(context, parameter, value or None) or "",
        help="create_time, end_time or duration, from the least on, or 'duration desc'.",
    ),
)


class Given(TypedDict):
    """The values of the options, parsed, each None or empty if it was not given."""

    state: str | None
    cause: str | None
    outcome: str | None
    since: datetime | None
    until: datetime | None
    caller: str | None
    requested_by: str | None
    image: str | None
    digest: str | None
    longer_than: timedelta | None
    label: dict[str, str]
    filter: str
    order_by: str


def declare(function: Function) -> Function:
    """Declare all options on a command."""
    for option in reversed(_DECLARED):
        function = option(function)
    return function


def history_filter(scope: tuple[str, str] | None, given: Given) -> str:
    """Return the filter of what all options together ask for. Raises click.UsageError if that is nothing."""
    since, until = given["since"], given["until"]
    if since and until and since >= until:
        raise click.UsageError(
            f"nothing is since {since:%Y-%m-%d %H:%M:%S} and before {until:%Y-%m-%d %H:%M:%S}: "
            "--since has to be the earlier one"
        )
    application, environment = scope or ("", "")
    options = release_filter(
        application=application,
        environment=environment,
        state=(given["state"] or "").upper(),
        cause=(given["cause"] or "").upper(),
        outcome=(given["outcome"] or "").upper(),
        caller=given["caller"] or "",
        requested_by=given["requested_by"] or "",
        image=given["image"] or "",
        digest=given["digest"] or "",
        created_since=given["since"],
        created_until=given["until"],
        longer_than=given["longer_than"],
        labels=given["label"],
    )
    return joined(given["filter"], options)
