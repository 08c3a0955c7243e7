"""Builds the requests of the contract from plain Python types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Unpack
from uuid import uuid4

from google.protobuf.duration_pb2 import Duration

from releasephase.v1 import release_pb2, release_service_pb2

from .options import (
    Command,
    ContainerMode,
    OnBusy,
    PullPolicy,
    RegistryAuth,
    ReleaseOptions,
    Resources,
    RetryOptions,
    Target,
)

_PULL_POLICIES = {
    None: release_pb2.PULL_POLICY_UNSPECIFIED,
    PullPolicy.ALWAYS: release_pb2.PULL_POLICY_ALWAYS,
    PullPolicy.MISSING: release_pb2.PULL_POLICY_MISSING,
    PullPolicy.NEVER: release_pb2.PULL_POLICY_NEVER,
}
_ON_BUSY = {
    None: release_pb2.ON_BUSY_UNSPECIFIED,
    OnBusy.QUEUE: release_pb2.ON_BUSY_QUEUE,
    OnBusy.REJECT: release_pb2.ON_BUSY_REJECT,
}
_CONTAINER_MODES = {
    None: release_pb2.CONTAINER_MODE_UNSPECIFIED,
    ContainerMode.PER_RELEASE: release_pb2.CONTAINER_MODE_PER_RELEASE,
    ContainerMode.PER_COMMAND: release_pb2.CONTAINER_MODE_PER_COMMAND,
}


def start_release_request(
    target: str | Target, image: str, **options: Unpack[ReleaseOptions]
) -> release_service_pb2.StartReleaseRequest:
    """Return the request that says the same as the arguments.

    Without a `request_id` it gets a new one.

    Raises:
        ValueError: an argument can't be said in the contract, such as a target
            without a slash, or text that is not Unicode.
    """
    application, environment = target if isinstance(target, Target) else Target.parse(target)
    return release_service_pb2.StartReleaseRequest(
        application=application,
        environment=environment,
        image=image,
        commands=[_command(each) for each in options.get("commands", ())],
        skip_labels=options.get("skip_labels", ()),
        skip_reason=options.get("skip_reason", ""),
        env=variables_of(options.get("env", {}), options.get("secrets", {})),
        networks=options.get("networks", ()),
        mounts=[
            release_pb2.Mount(source=each.source, target=each.target, read_only=each.read_only)
            for each in options.get("mounts", ())
        ],
        resources=_resources(options.get("resources")),
        user=options.get("user", ""),
        working_dir=options.get("working_dir", ""),
        entrypoint=_entrypoint(options),
        pull_policy=_PULL_POLICIES[options.get("pull_policy")],
        registry_auth=_registry_auth(options.get("registry_auth")),
        release_timeout=_duration(options.get("release_timeout")),
        on_busy=_ON_BUSY[options.get("on_busy")],
        request_id=options.get("request_id") or str(uuid4()),
        requested_by=options.get("requested_by", ""),
        labels=options.get("labels", {}),
        container_mode=_CONTAINER_MODES[options.get("container_mode")],
        validate_only=options.get("validate_only", False),
        like_container=options.get("like_container", ""),
    )


def retry_release_request(
    name: str, **options: Unpack[RetryOptions]
) -> release_service_pb2.RetryReleaseRequest:
    """Return the request that says the same as the arguments. Without a `request_id` it gets a new one."""
    return release_service_pb2.RetryReleaseRequest(
        name=name,
        from_start=options.get("from_start", False),
        env=variables_of(options.get("env", {}), options.get("secrets", {})),
        registry_auth=_registry_auth(options.get("registry_auth")),
        request_id=options.get("request_id") or str(uuid4()),
        requested_by=options.get("requested_by", ""),
    )


def report_outcome_request(
    name: str,
    outcome: release_pb2.Outcome.ValueType,
    reason: str,
    run_rollback: bool,
    env: Sequence[release_service_pb2.EnvironmentVariable],
    registry_auth: RegistryAuth | None,
) -> release_service_pb2.ReportOutcomeRequest:
    """Return the request that says the same as the arguments."""
    return release_service_pb2.ReportOutcomeRequest(
        name=name,
        outcome=outcome,
        reason=reason,
        run_rollback=run_rollback,
        env=env,
        registry_auth=_registry_auth(registry_auth),
    )


def variables_of(
    env: Mapping[str, str], secrets: Mapping[str, str]
) -> list[release_service_pb2.EnvironmentVariable]:
    """Return variables as the contract has them."""
    return [*_variables(env), *_variables(secrets, secret=True)]


def _command(command: Command) -> release_service_pb2.ReleaseCommand:
    message = release_service_pb2.ReleaseCommand(
        label=command.label,
        timeout=_duration(command.timeout),
        allow_failure=command.allow_failure,
        rollback=command.rollback,
    )
    if command.argv is not None:
        message.argv.arguments.extend(command.argv)
    else:
        message.line = command.line or ""
    return message


def _variables(
    variables: Mapping[str, str], *, secret: bool = False
) -> Iterator[release_service_pb2.EnvironmentVariable]:
    for name, value in variables.items():
        yield release_service_pb2.EnvironmentVariable(name=name, value=value, secret=secret)


def _resources(resources: Resources | None) -> release_pb2.Resources | None:
    if resources is None:
        return None
    return release_pb2.Resources(
        memory_bytes=resources.memory_bytes, cpus=resources.cpus, pids=resources.pids
    )


def _entrypoint(options: ReleaseOptions) -> release_pb2.EntrypointOverride | None:
    arguments = options.get("entrypoint")
    return None if arguments is None else release_pb2.EntrypointOverride(arguments=arguments)


def _registry_auth(auth: RegistryAuth | None) -> release_service_pb2.RegistryAuth | None:
    if auth is None:
        return None
    return release_service_pb2.RegistryAuth(
        username=auth.username, password=auth.password, identity_token=auth.identity_token
    )


def _duration(length: timedelta | None) -> Duration | None:
    if length is None:
        return None
    duration = Duration()
    duration.FromTimedelta(length)
    return duration
