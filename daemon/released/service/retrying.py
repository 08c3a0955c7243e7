"""A release once more, to be tried again or undone: the request for it, with the values that it lacks."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from released.audit.records import ReleaseRecord
from released.config import Config
from released.errors import Violation
from released.model.command_form import LONGEST_ARGUMENTS, refuse_total
from released.model.release import Command, ReleaseSpec, Resources, Secrets
from released.policy.policy import Policy
from released.service.admission import admit
from released.service.gate import Gate
from released.service.validation import check_size
from releasephase.v1 import release_pb2, release_service_pb2

MOST_NAMES = 10
"""How many names of variables an error has."""

Request = release_service_pb2.RetryReleaseRequest | release_service_pb2.ReportOutcomeRequest
"""What asks for a release once more: both have its values."""


async def admit_again(
    record: ReleaseRecord,
    request: Request,
    commands: Sequence[Command],
    config: Config,
    policy: Policy,
    gate: Gate,
) -> tuple[ReleaseSpec, Secrets]:
    """Return what a release that ended is to be once more, by the rules of today, and its values apart.

    `commands` are those that it is to run now, as far as they are known; those of what is returned are
    the ones that its request had. What else a release has to meet (an engine, a daemon that is not
    drained, its lane) is asked when it takes its place. Raises PermissionDenied, and as `admit`.
    """
    gate.check_enabled(record.spec.target)
    start = as_start_request(record.spec, request)
    check_size(start)
    found = [*name_violations(record.spec, start.env), *size_violations(commands, start.env)]
    return await admit(start, config, policy, found)


def as_retry(spec: ReleaseSpec, record: ReleaseRecord, commands: tuple[Command, ...] | None) -> ReleaseSpec:
    """Return the retry of a release, of what its request asks for: with these commands, if they are known."""
    if commands is not None:
        spec = msgspec.structs.replace(spec, commands=commands, settings=None)
    return msgspec.structs.replace(
        spec,
        retry_of=record.release_id,
        rollback_of=record.spec.rollback_of,
        # One that never got as far as its image is held to the one that it was to have.
        image_id=record.image_id or record.spec.image_id,
    )


def as_start_request(spec: ReleaseSpec, request: Request) -> release_service_pb2.StartReleaseRequest:
    """Return the request that asks for the same again, with the values of this one.

    It has the commands that the earlier request had: those of image and settings were not in it.
    """
    start = release_service_pb2.StartReleaseRequest(
        application=spec.application,
        environment=spec.environment,
        image=spec.image,
        commands=() if spec.is_from_settings else map(_command, spec.commands),
        skip_labels=spec.skip_labels,
        skip_reason=spec.skip_reason,
        env=resent(spec, request.env),
        networks=spec.networks,
        mounts=[
            release_pb2.Mount(source=mount.source, target=mount.target, read_only=mount.read_only)
            for mount in spec.mounts
        ],
        user=spec.user,
        working_dir=spec.working_dir,
        pull_policy=release_pb2.PullPolicy.Value(f"PULL_POLICY_{spec.pull_policy}"),
        on_busy=release_pb2.OnBusy.Value(f"ON_BUSY_{spec.on_busy}"),
        labels=spec.labels,
        container_mode=release_pb2.ContainerMode.Value(f"CONTAINER_MODE_{spec.container_mode}"),
    )
    if spec.resources != Resources():
        start.resources.memory_bytes = spec.resources.memory_bytes
        start.resources.cpus = spec.resources.cpus
        start.resources.pids = spec.resources.pids
    if spec.entrypoint is not None:
        start.entrypoint.arguments.extend(spec.entrypoint)
        start.entrypoint.SetInParent()
    if spec.release_timeout is not None:
        start.release_timeout.FromTimedelta(spec.release_timeout)
    if isinstance(request, release_service_pb2.RetryReleaseRequest):
        start.request_id = request.request_id
        start.requested_by = request.requested_by
    if request.HasField("registry_auth"):
        start.registry_auth.CopyFrom(request.registry_auth)
    return start


def resent(
    spec: ReleaseSpec, env: Iterable[release_service_pb2.EnvironmentVariable]
) -> Iterator[release_service_pb2.EnvironmentVariable]:
    """Yield variables that are sent again; those are secret that were."""
    for variable in env:
        yield release_service_pb2.EnvironmentVariable(
            name=variable.name,
            value=variable.value,
            secret=variable.secret or variable.name in spec.secret_names,
        )


def name_violations(
    spec: ReleaseSpec, env: Sequence[release_service_pb2.EnvironmentVariable]
) -> Iterator[Violation]:
    """Yield violations for names of variables that are missing, or that the release did not have."""
    sent = {variable.name for variable in env}
    if missing := [name for name in spec.environment_names if name not in sent]:
        more = f" and {len(missing) - MOST_NAMES} more" if len(missing) > MOST_NAMES else ""
        names = ", ".join(missing[:MOST_NAMES]) + more
        yield Violation("env", f"must have {names} again: the values of variables are stored nowhere")
    for index, variable in enumerate(env):
        if variable.name not in spec.environment_names:
            had = f"the release had no variable {variable.name[:63]!r}"
            yield Violation(f"env[{index}].name", f"must be one of the release's: {had}")


def size_violations(
    commands: Sequence[Command], env: Iterable[release_service_pb2.EnvironmentVariable]
) -> Iterator[Violation]:
    """Yield a violation for values that are longer than those before, and too long for the commands."""
    environment_bytes = sum(variable.ByteSize() for variable in env)
    for lines in ([each.shell_line for each in commands], [each.rollback for each in commands]):
        if refuse_total(lines, environment_bytes):
            yield Violation("env", f"must be {LONGEST_ARGUMENTS} bytes at most, together with the commands")
            return


def _command(command: Command) -> release_service_pb2.ReleaseCommand:
    message = release_service_pb2.ReleaseCommand(
        label=command.label, allow_failure=command.allow_failure, rollback=command.rollback
    )
    if command.line is not None:
        message.line = command.line
    else:
        message.argv.arguments.extend(command.argv or ())
    message.timeout.FromTimedelta(command.timeout)
    return message
