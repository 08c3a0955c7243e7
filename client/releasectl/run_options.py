"""The options of `releasectl run`: how they are declared, and what they say."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypedDict, TypeVar

import click

from .options import (
    Command,
    ContainerMode,
    Mount,
    OnBusy,
    PullPolicy,
    ReleaseOptions,
    Resources,
)
from .parsing import (
    parse_command,
    parse_duration,
    parse_mount,
    parse_pair,
    parse_program,
    parse_rollback,
    parse_size,
)
from .reading import reads, reads_mapping
from .value_options import REGISTRY, VARIABLES, registry_auth

Function = TypeVar("Function", bound=Callable[..., Any])


_DECLARED = (
    click.option(
        "-c",
        "--command",
        metavar="'LABEL=LINE'",
        multiple=True,
        callback=reads(parse_command),
        help="A release command: a label and a shell line. Repeatable; they run in this order.",
    ),
    click.option(
        "-x",
        "--exec",
        metavar="'LABEL=PROGRAM ARGUMENTS'",
        multiple=True,
        callback=reads(parse_program),
        help="A release command: a label, and a program with its arguments. Repeatable, also among -c.",
    ),
    click.option(
        "--allow-failure",
        metavar="LABEL",
        multiple=True,
        help="When this command of -c or -x fails, go on. Repeatable.",
    ),
    click.option(
        "--rollback",
        metavar="'LABEL=LINE'",
        multiple=True,
        callback=reads(parse_rollback),
        help="A shell line that undoes this command of -c or -x. Repeatable.",
    ),
    click.option(
        "--skip", metavar="LABEL", multiple=True, help="Pass over the command with this label. Repeatable."
    ),
    click.option("--reason", metavar="TEXT", help="Why --skip passes commands over. Required with --skip."),
    click.option(
        "--like",
        metavar="CONTAINER",
        help="Take environment, networks, mounts and user from this running container.",
    ),
    *VARIABLES,
    click.option("--network", metavar="NAME", multiple=True, help="Join a network of the engine."),
    click.option(
        "-v",
        "--volume",
        metavar="SRC:DST[:ro]",
        multiple=True,
        callback=reads(parse_mount),
        help="Mount a path of the host or a volume of the engine.",
    ),
    click.option("--memory", metavar="SIZE", callback=reads(parse_size), help="Limit memory, such as 512m."),
    click.option("--cpus", type=float, metavar="CORES", help="Limit processor time, such as 1.5."),
    click.option("--pids", type=int, metavar="COUNT", help="Limit processes and threads."),
    click.option("-u", "--user", default="", metavar="USER[:GROUP]", help="Run as this user."),
    click.option("-w", "--workdir", default="", metavar="PATH", help="Run in this directory."),
    click.option(
        "--container",
        type=click.Choice([mode.value for mode in ContainerMode]),
        help="One container for the whole release, or a new one for each command. [default: release]",
    ),
    click.option("--entrypoint", metavar="LINE", help="Replace the image's entrypoint; '' for none."),
    click.option(
        "--timeout",
        metavar="DURATION",
        callback=reads(parse_duration),
        help="How long each command of -c and -x may run, such as 90s or 1h30m. [default: the daemon's, 30m]",
    ),
    click.option(
        "--release-timeout",
        metavar="DURATION",
        callback=reads(parse_duration),
        help="How long the release may take once it has left the queue. [default: no limit]",
    ),
    click.option(
        "--pull",
        type=click.Choice([policy.value for policy in PullPolicy]),
        help="When to pull the image. [default: missing]",
    ),
    *REGISTRY,
    click.option(
        "--on-busy",
        type=click.Choice([choice.value for choice in OnBusy]),
        help="What to do if the target has a release under way. [default: queue]",
    ),
    click.option("--request-id", metavar="UUID", help="Makes it safe to repeat this very call."),
    click.option("--requested-by", default="", metavar="TEXT", help="Who asks, for the audit log."),
    click.option(
        "--label",
        metavar="K=V",
        multiple=True,
        callback=reads_mapping(parse_pair),
        help="Label the release, for `history --label`.",
    ),
)


class Given(TypedDict):
    """The options as click hands them over."""

    command: Sequence[Command]
    allow_failure: Sequence[str]
    rollback: Sequence[tuple[str, str]]
    skip: Sequence[str]
    reason: str | None
    like: str | None
    env: dict[str, str]
    env_file: dict[str, str]
    secret: dict[str, str]
    network: Sequence[str]
    volume: Sequence[Mount]
    memory: int | None
    cpus: float | None
    pids: int | None
    user: str
    workdir: str
    container: str | None
    entrypoint: str | None
    timeout: timedelta | None
    release_timeout: timedelta | None
    pull: str | None
    registry_user: str | None
    registry_password_stdin: bool
    on_busy: str | None
    request_id: str | None
    requested_by: str
    label: dict[str, str]


class InOrder(click.Command):
    """A click command that gets `--command` and `--exec` as one list, in the order in which they come."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if ctx.resilient_parsing:  # a shell asks how the line may go on
            return super().parse_args(ctx, args)
        # click keeps the order of one option's values only; its parser alone sees that of all.
        *_, order = self.make_parser(ctx).parse_args([*args])
        rest = super().parse_args(ctx, args)
        values = {name: iter(ctx.params.pop(name) or ()) for name in ("command", "exec")}
        ctx.params["command"] = [next(values[each.name]) for each in order if each.name in values]
        return rest


def declare(function: Function) -> Function:
    """Declare the options on a click command."""
    for option in reversed(_DECLARED):
        function = option(function)
    return function


def release_options(given: Given) -> ReleaseOptions:
    """Return what the options say about the release. Raises click.UsageError for what contradicts itself."""
    if bool(given["skip"]) != bool(given["reason"]):
        missing = "--reason TEXT" if given["skip"] else "--skip LABEL"
        raise click.UsageError(f"--skip and --reason go together: give {missing}, too, or neither")
    # An empty variable of a script, say: the commands would run without what they need.
    if given["like"] == "":
        raise click.UsageError("--like names no container: give the name or id of one, or leave it out")
    options = ReleaseOptions(
        commands=list(_commands(given)),
        skip_labels=given["skip"],
        skip_reason=given["reason"] or "",
        like_container=given["like"] or "",
        env=given["env_file"] | given["env"],
        secrets=given["secret"],
        networks=given["network"],
        mounts=given["volume"],
        user=given["user"],
        working_dir=given["workdir"],
        entrypoint=None if given["entrypoint"] is None else _entrypoint(given["entrypoint"]),
        registry_auth=registry_auth(given["registry_user"], from_stdin=given["registry_password_stdin"]),
        release_timeout=given["release_timeout"],
        request_id=given["request_id"],
        requested_by=given["requested_by"],
        labels=given["label"],
    )
    limits = (given["memory"], given["cpus"], given["pids"])
    if any(limit is not None for limit in limits):
        memory, cpus, pids = limits
        options["resources"] = Resources(memory or 0, cpus or 0.0, pids or 0)
    if given["pull"]:
        options["pull_policy"] = PullPolicy(given["pull"])
    if given["container"]:
        options["container_mode"] = ContainerMode(given["container"])
    if given["on_busy"]:
        options["on_busy"] = OnBusy(given["on_busy"])
    return options


def _commands(given: Given) -> Iterator[Command]:
    """Yield the commands with what other options say about them."""
    commands, timeout, rollbacks = given["command"], given["timeout"], dict(given["rollback"])
    if timeout is not None and not commands:
        raise click.UsageError(
            "--timeout is for the commands of -c and -x, and there are none. Those in the settings have "
            "their own: releasectl commands edit APP COMMAND --timeout DURATION"
        )
    if len(rollbacks) < len(given["rollback"]):
        raise click.UsageError("--rollback: a command has one line that undoes it")
    labels = [command.label for command in commands]
    _check_labels("--allow-failure", given["allow_failure"], labels)
    _check_labels("--rollback", rollbacks, labels)
    for command in commands:
        yield replace(
            command,
            timeout=timeout,
            allow_failure=command.label in given["allow_failure"],
            rollback=rollbacks.get(command.label, ""),
        )


def _check_labels(option: str, named: Iterable[str], labels: Sequence[str]) -> None:
    for label in named:
        if label not in labels:
            known = ", ".join(map(repr, labels)) or "none: for those in the settings, see releasectl commands"
            raise click.UsageError(f"{option}: -c and -x have no command {label!r}; they have {known}")


def _entrypoint(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise click.UsageError(f"--entrypoint: {error}") from None
