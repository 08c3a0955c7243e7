"""The verb `stats`: how often release commands ran and failed, and how long they take."""

from __future__ import annotations

import sys
from datetime import datetime

from google.protobuf.duration_pb2 import Duration

from releasephase.v1.audit_service_pb2 import CommandStatistics, GetCommandStatisticsResponse

from . import formatting
from .client import ReleaseClient
from .drawing import draw
from .exit_codes import ExitCode
from .json_output import document
from .tables import Table
from .views import say
from .words import NONE, ratio_text, seconds

STEADY = 1.2
"""A trend of less than so many times, in either direction, is none."""


async def stats(
    client: ReleaseClient, application: str, environment: str, since: datetime | None, *, as_json: bool
) -> ExitCode:
    """Show the statistics of commands."""
    answer = await client.get_command_statistics(application, environment, since)
    if as_json:
        sys.stdout.write(document(answer))
        sys.stdout.flush()
        return ExitCode.OK
    if not answer.statistics:
        say("no command has run")
    draw(statistics_table(answer))
    if answer.truncated:
        say("there are more: ask for one application, or one of its environments")
    return ExitCode.OK


def statistics_table(answer: GetCommandStatisticsResponse) -> Table:
    """Return the table of `releasectl stats`."""
    headings = ("TARGET", "COMMAND", "RUNS", "FAILED", "P50", "P95", "LONGEST", "TREND")
    rows = [_row(each) for each in answer.statistics]
    return Table(headings, rows, elastic="COMMAND", optional=("P95", "LONGEST", "RUNS"))


def _row(each: CommandStatistics) -> tuple[str, ...]:
    return (
        f"{each.application}/{each.environment}",
        each.label,
        str(each.run_count),
        str(each.failure_count or NONE),
        _took(each.p50) if each.HasField("p50") else NONE,
        _took(each.p95) if each.HasField("p95") else NONE,
        _took(each.longest) if each.HasField("longest") else NONE,
        trend(each),
    )


def trend(each: CommandStatistics) -> str:
    """Return how the newest runs compare with those before: ``▲ 1.8x``, ``▼ 0.5x``, or ``=`` for the same."""
    earlier = seconds(each.earlier_median)
    if not each.HasField("recent_median") or not earlier:
        return NONE
    ratio = seconds(each.recent_median) / earlier
    if 1 / STEADY < ratio < STEADY:
        return "="
    return f"{'▲' if ratio > 1 else '▼'} {ratio_text(ratio)}"


def _took(length: Duration) -> str:
    return formatting.duration(seconds(length))
