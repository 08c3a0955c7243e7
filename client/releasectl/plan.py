"""The verb `plan`: what a release would be that is not started."""

from __future__ import annotations

import click

from releasephase.v1.release_pb2 import COMMANDS_FROM_SETTINGS, CommandRun, Release

from . import formatting
from .client import ReleaseClient
from .drawing import draw
from .exit_codes import ExitCode
from .options import ReleaseOptions, Target
from .tables import NO_COMMANDS, Fields, Table, command_remarks, container_fields, image_fields, said
from .views import write_json
from .words import NONE, line_text, release_timeout_text, seconds, source_name, timeout_text


async def plan(
    client: ReleaseClient, target: Target, image: str, options: ReleaseOptions, *, as_json: bool
) -> ExitCode:
    """Ask what a release would be, and show it."""
    try:
        answer = await client.plan_release(target, image, **options)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        write_json(answer)
    else:
        draw(plan_fields(answer), plan_table(answer), command_remarks(answer), remark_fields(answer))
    return ExitCode.OK


def plan_fields(plan: Release) -> Fields:
    """Return what a release would be like, its commands apart; what is empty is left out."""
    image = dict(image_fields(plan))
    if plan.image_digest and not plan.image_id:
        image["image id"] = "not known: it would be pulled"
    return said(
        [
            ("target", f"{plan.application}/{plan.environment}"),
            ("expected", _expected(plan)),
            ("queue", _place(plan)),
            ("lock groups", ", ".join(plan.lock_groups)),
            *image.items(),
            ("requested by", plan.requested_by),
            ("release timeout", release_timeout_text(plan)),
            *container_fields(plan),
            ("commands", _no_commands(plan)),
        ]
    )


def plan_table(plan: Release) -> Table:
    """Return the table of the commands that a release would run."""
    headings = ("NO", "COMMAND", "SOURCE", "TIMEOUT", "EXPECTED", "LINE")
    rows = [_row(run) for run in plan.command_runs]
    return Table(headings, rows, elastic="LINE", optional=("SOURCE", "TIMEOUT", "LINE"))


def remark_fields(plan: Release) -> Fields:
    """Return what could not be told of a release, and why."""
    return [("remark", remark) for remark in plan.remarks]


def _row(run: CommandRun) -> tuple[str, ...]:
    return (
        str(run.index + 1),
        run.label,
        source_name(run),
        timeout_text(run),
        _expected_of(run),
        line_text(run),
    )


def _expected_of(run: CommandRun) -> str:
    if _is_skipped(run):
        return "SKIPPED"
    return formatting.duration(seconds(run.expected_duration)) if run.HasField("expected_duration") else NONE


def _is_skipped(run: CommandRun) -> bool:
    return run.state == CommandRun.STATE_SKIPPED


def _expected(plan: Release) -> str:
    """How long all of it will take, or why that is not known."""
    if plan.HasField("expected_duration"):
        return formatting.duration(seconds(plan.expected_duration))
    unknown = sum(not _is_skipped(run) and not run.HasField("expected_duration") for run in plan.command_runs)
    if not unknown:
        return "not known: there may be more commands"
    has = "has" if unknown == 1 else "have"
    return f"not known: {formatting.plural(unknown, 'command')} {has} not succeeded here"


def _place(plan: Release) -> str:
    if plan.state == Release.STATE_SUCCEEDED:
        return "it would succeed at once: all its commands are skipped"
    return (
        f"it would wait, position {plan.queue_position}" if plan.queue_position else "it would start at once"
    )


def _no_commands(plan: Release) -> str:
    """Why there are none in the table; empty if there are some."""
    if plan.command_runs or plan.commands_from != COMMANDS_FROM_SETTINGS:
        return ""
    return "not known: see the remarks" if plan.remarks else NO_COMMANDS
