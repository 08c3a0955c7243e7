"""What a StartReleaseRequest must look like, and what becomes of it.

Every field is checked, and all violations are reported at once. Nothing is stored or
started before.
"""

import posixpath
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import chain

from google.protobuf.duration_pb2 import Duration

from released.errors import InvalidRequest, Violation
from released.model.command_form import (
    LONGEST_LINE,
    LONGEST_TIMEOUT,
    MOST_COMMANDS,
    refuse_argv,
    refuse_label,
    refuse_line,
    refuse_total,
)
from released.model.forms import IMAGE, LABEL_KEY, NAME, SLUG, USER, is_clean_path, is_line, is_uuid
from released.model.release import (
    Command,
    Mount,
    RegistryAuth,
    ReleaseSpec,
    Resources,
    Secrets,
    Target,
    passed_over,
)
from released.model.secret_values import is_secret_name
from released.model.states import ContainerMode, OnBusy, PullPolicy
from released.service.plain_secrets import check_plain_secrets
from releasephase.v1 import command_service_pb2, release_pb2, release_service_pb2

LARGEST_REQUEST = 3 * 512 * 1024
"""Bytes of the whole request: what is told of a release is somewhat larger, and has to fit a message."""
MOST_LABELS = 64
MOST_VARIABLES = 1000
MOST_NETWORKS = 32
MOST_MOUNTS = 100
LONGEST_USERNAME = 256
LONGEST_REASON = 1024
"""Characters of why somebody does something."""
LONGEST_NAME = 255
"""Characters of a variable's name."""
RESERVED_PREFIXES = ("RELEASEPHASE_", "__releasephase_")
"""Environment variables that are the daemon's own, and the supervisor's."""
LEAST_MEMORY = 6 * 1024 * 1024
"""Bytes: the engine takes no less."""

_PULL_POLICIES = {
    release_pb2.PULL_POLICY_UNSPECIFIED: PullPolicy.MISSING,
    release_pb2.PULL_POLICY_ALWAYS: PullPolicy.ALWAYS,
    release_pb2.PULL_POLICY_MISSING: PullPolicy.MISSING,
    release_pb2.PULL_POLICY_NEVER: PullPolicy.NEVER,
}
_ON_BUSY = {
    release_pb2.ON_BUSY_UNSPECIFIED: OnBusy.QUEUE,
    release_pb2.ON_BUSY_QUEUE: OnBusy.QUEUE,
    release_pb2.ON_BUSY_REJECT: OnBusy.REJECT,
}
_CONTAINER_MODES = {
    release_pb2.CONTAINER_MODE_UNSPECIFIED: ContainerMode.PER_RELEASE,
    release_pb2.CONTAINER_MODE_PER_RELEASE: ContainerMode.PER_RELEASE,
    release_pb2.CONTAINER_MODE_PER_COMMAND: ContainerMode.PER_COMMAND,
}


def read_secrets(
    request: release_service_pb2.StartReleaseRequest, patterns: Iterable[str]
) -> tuple[Secrets, tuple[str, ...]]:
    """Return what must not be stored, and the names of the variables whose values are secret.

    Those are marked, or match one of the patterns. Raises InvalidRequest if a secret value stands
    elsewhere: before anything else is said about the request, which might quote it.
    """
    auth = request.registry_auth
    secrets = Secrets(
        environment={variable.name: variable.value for variable in request.env},
        registry_auth=(
            RegistryAuth(auth.username, auth.password, auth.identity_token)
            if request.HasField("registry_auth")
            else None
        ),
    )
    names = tuple(
        variable.name
        for variable in request.env
        if variable.secret or is_secret_name(variable.name, patterns)
    )
    if violations := list(check_plain_secrets(request, secrets, names)):
        raise InvalidRequest(violations)
    return secrets, names


def check_size(request: release_service_pb2.StartReleaseRequest) -> None:
    """Raise InvalidRequest for more than anybody looks at, before anybody does."""
    counts = {
        "commands": (len(request.commands), MOST_COMMANDS),
        "env": (len(request.env), MOST_VARIABLES),
        "networks": (len(request.networks), MOST_NETWORKS),
        "mounts": (len(request.mounts), MOST_MOUNTS),
        "labels": (len(request.labels), MOST_LABELS),
        "skip_labels": (len(request.skip_labels), MOST_COMMANDS),
    }
    violations = [
        Violation(field, f"must be {most} at most, not {count}")
        for field, (count, most) in counts.items()
        if count > most
    ]
    if request.ByteSize() > LARGEST_REQUEST:
        too_large = f"must be smaller: the request has more than {LARGEST_REQUEST} bytes"
        violations.append(Violation("commands", too_large))
    if violations:
        raise InvalidRequest(violations)


def is_target(target: Target) -> bool:
    """Whether an application and an environment have the form of slugs."""
    return all(SLUG.fullmatch(part) for part in target)


def form_violations(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    """Yield a violation for each field whose form is wrong, of a request of which `check_size` approves."""
    yield from chain(
        _check_target(request),
        _check_commands(request),
        _check_skipping(request),
        _check_environment(request),
        _check_container(request),
        _check_mounts(request),
        _check_resources(request),
        _check_registry_auth(request),
        _check_options(request),
    )


def _check_target(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    for field, value in (("application", request.application), ("environment", request.environment)):
        if not SLUG.fullmatch(value):
            yield Violation(field, "must be 1 to 63 lower-case letters, digits and inner hyphens")
    if len(request.image) > 512 or not IMAGE.fullmatch(request.image):
        yield Violation(
            "image", "must be an image reference such as registry.example/shop:1.2, or an image id"
        )


def _check_commands(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    for index, command in enumerate(request.commands):
        yield from check_command(f"commands[{index}]", command)
    # Quoting makes an argv up to five times as long.
    lines = (_command(command, timedelta()).shell_line for command in request.commands)
    environment_bytes = sum(variable.ByteSize() for variable in request.env)
    if refusal := refuse_total(lines, environment_bytes):
        yield Violation("commands", refusal)
    elif refusal := refuse_total((each.rollback for each in request.commands), environment_bytes):
        yield Violation("commands", f"rollbacks {refusal}")


def same_labels(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    """Yield a violation for each command with the label of an earlier one: nobody could tell them apart.

    It is none of form: what an earlier version accepted can be tried again.
    """
    places: dict[str, int] = {}
    for index, command in enumerate(request.commands):
        first = places.setdefault(command.label, index)
        if first != index:
            same = f"is the same as commands[{first}].label: {command.label[:63]!r}"
            yield Violation(f"commands[{index}].label", same)


def check_command(
    field: str, command: release_service_pb2.ReleaseCommand | command_service_pb2.Command
) -> Iterator[Violation]:
    """Yield a violation for each part whose form is wrong that commands in requests and settings have."""
    refusals = {"label": refuse_label(command.label)}
    match command.WhichOneof("command"):
        case None:
            yield Violation(field, "must have a line or an argv")
        case "line":
            refusals["line"] = refuse_line(command.line)
        case "argv":
            refusals["argv"] = refuse_argv(command.argv.arguments)
    if command.rollback:
        refusals["rollback"] = refuse_line(command.rollback)
    for name, refusal in refusals.items():
        if refusal:
            yield Violation(f"{field}.{name}", refusal)
    if command.HasField("timeout"):
        yield from _check_timeout(f"{field}.timeout", command.timeout)


def _check_skipping(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    if request.skip_labels and not request.skip_reason.strip():
        yield Violation("skip_reason", "must say why commands are to be skipped")
    if request.skip_reason and not request.skip_labels:
        yield Violation("skip_labels", "must name what is to be skipped for skip_reason")
    if not is_line(request.skip_reason) or len(request.skip_reason) > LONGEST_REASON:
        yield Violation("skip_reason", f"must be one line of {LONGEST_REASON} characters at most")
    labels = [command.label for command in request.commands]
    for index, label in enumerate(request.skip_labels):
        if refusal := refuse_label(label):
            yield Violation(f"skip_labels[{index}]", refusal)
        # Of a request that names no commands, they are not known yet.
        elif labels and label not in labels:
            there = ", ".join(f"{label[:63]!r}" for label in labels)
            yield Violation(f"skip_labels[{index}]", f"must be the label of a command: there are {there}")


def _check_timeout(field: str, timeout: Duration) -> Iterator[Violation]:
    # Less than a microsecond would be cut off to nothing.
    if not 1e-6 <= timeout.seconds + timeout.nanos / 1e9 <= LONGEST_TIMEOUT.total_seconds():
        yield Violation(field, f"must be more than 0 and {LONGEST_TIMEOUT.days} days at most")


def _check_environment(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    seen = set()
    for index, variable in enumerate(request.env):
        field = f"env[{index}]"
        # The value is never named: it may be a secret.
        if not variable.name or "=" in variable.name or not is_line(variable.name):
            yield Violation(f"{field}.name", "must not be empty, nor contain '=' or control characters")
        elif len(variable.name) > LONGEST_NAME:
            yield Violation(f"{field}.name", f"must be {LONGEST_NAME} characters at most")
        elif variable.name.startswith(RESERVED_PREFIXES):
            yield Violation(f"{field}.name", f"{variable.name} is the daemon's own")
        elif variable.name in seen:
            yield Violation(f"{field}.name", f"{variable.name} is set twice")
        if "\0" in variable.value:
            yield Violation(f"{field}.value", "must not contain a NUL character")
        if len(variable.name.encode()) + len(variable.value.encode()) > LONGEST_LINE:
            yield Violation(f"{field}.value", f"must be {LONGEST_LINE} bytes at most, with its name")
        seen.add(variable.name)


def _check_container(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    for index, network in enumerate(request.networks):
        if not NAME.fullmatch(network):
            yield Violation(f"networks[{index}]", "must be the name of a network")
    if len(set(request.networks)) < len(request.networks):
        yield Violation("networks", "must not name a network twice")
    if request.user and not USER.fullmatch(request.user):
        yield Violation("user", "must be a name or uid, optionally with :group or :gid")
    if request.like_container and not NAME.fullmatch(request.like_container):
        yield Violation("like_container", "must be the name or the id of a container")
    if request.working_dir and not is_clean_path(request.working_dir):
        yield Violation("working_dir", "must be an absolute path without '..'")
    if any("\0" in argument for argument in request.entrypoint.arguments):
        yield Violation("entrypoint.arguments", "must not contain a NUL character")
    if request.entrypoint.ByteSize() > LONGEST_LINE:
        yield Violation("entrypoint.arguments", f"must be {LONGEST_LINE} bytes at most")
    if request.entrypoint.arguments and not request.entrypoint.arguments[0]:
        yield Violation("entrypoint.arguments[0]", "must be a program")


def _check_mounts(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    targets = set()
    for index, mount in enumerate(request.mounts):
        field = f"mounts[{index}]"
        # A second slash at the beginning means something else to POSIX, but not to Linux.
        target = posixpath.normpath(mount.target).replace("//", "/")
        if not (is_clean_path(mount.source) or NAME.fullmatch(mount.source)):
            yield Violation(
                f"{field}.source", "must be an absolute path without '..', or the name of a volume"
            )
        if not is_clean_path(mount.target) or target == "/":
            yield Violation(f"{field}.target", "must be an absolute path without '..', and not /")
        if target in targets:
            yield Violation(f"{field}.target", f"{target} is mounted twice")
        targets.add(target)


def _check_resources(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    resources = request.resources
    if resources.memory_bytes and resources.memory_bytes < LEAST_MEMORY:
        yield Violation("resources.memory_bytes", f"must be {LEAST_MEMORY} at least, or 0 for the default")
    if resources.cpus and not 0.001 <= resources.cpus <= 100_000:
        yield Violation("resources.cpus", "must be between 0.001 and 100000, or 0 for the default")
    if resources.pids < 0 or resources.pids == 1:
        yield Violation("resources.pids", "must be 2 at least, or 0 for the default")


def _check_registry_auth(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    auth = request.registry_auth
    by_token = bool(auth.identity_token) and not auth.username and not auth.password
    by_password = bool(auth.username and auth.password) and not auth.identity_token
    if request.HasField("registry_auth") and not by_token and not by_password:
        yield Violation("registry_auth", "must have a username and a password, or an identity_token")
    if len(auth.username) > LONGEST_USERNAME or not is_line(auth.username):
        yield Violation(
            "registry_auth.username",
            f"must be one line of {LONGEST_USERNAME} characters at most",
        )
    if len(auth.password) + len(auth.identity_token) > LONGEST_LINE:
        yield Violation("registry_auth", f"must be {LONGEST_LINE} characters at most")


def _check_options(request: release_service_pb2.StartReleaseRequest) -> Iterator[Violation]:
    if request.pull_policy not in _PULL_POLICIES:
        yield Violation("pull_policy", "must be ALWAYS, MISSING or NEVER")
    if request.pull_policy == release_pb2.PULL_POLICY_ALWAYS and request.image.startswith("sha256:"):
        yield Violation("pull_policy", "can't be ALWAYS for an image id, which no registry knows")
    if request.on_busy not in _ON_BUSY:
        yield Violation("on_busy", "must be QUEUE or REJECT")
    if request.container_mode not in _CONTAINER_MODES:
        yield Violation("container_mode", "must be PER_RELEASE or PER_COMMAND")
    if request.HasField("release_timeout"):
        yield from _check_timeout("release_timeout", request.release_timeout)
    if request.request_id and not is_uuid(request.request_id):
        yield Violation("request_id", "must be a UUID")
    if len(request.requested_by) > 256 or not is_line(request.requested_by):
        yield Violation("requested_by", "must be one line of 256 characters at most")
    for key, value in request.labels.items():
        if not LABEL_KEY.fullmatch(key):
            yield Violation(
                "labels", f"{key[:63]!r} is no key: use up to 63 letters, digits, and inner _ . / -"
            )
        if len(value) > 256 or not is_line(value):
            yield Violation("labels", f"the value of {key[:63]!r} must be one line of 256 characters at most")


def read_spec(
    request: release_service_pb2.StartReleaseRequest,
    default_timeout: timedelta,
    secret_names: tuple[str, ...],
) -> ReleaseSpec:
    """Return what a well-formed request asks for."""
    commands = tuple(_command(command, _timeout(command, default_timeout)) for command in request.commands)
    return ReleaseSpec(
        application=request.application,
        environment=request.environment,
        image=request.image,
        commands=passed_over(commands, request.skip_labels, request.skip_reason),
        settings=None if request.commands else (),
        skip_labels=() if request.commands else tuple(request.skip_labels),
        skip_reason="" if request.commands else request.skip_reason,
        environment_names=tuple(variable.name for variable in request.env),
        secret_names=secret_names,
        networks=tuple(request.networks),
        mounts=tuple(Mount(mount.source, mount.target, mount.read_only) for mount in request.mounts),
        resources=Resources(
            request.resources.memory_bytes,
            request.resources.cpus,
            request.resources.pids,
        ),
        user=request.user,
        working_dir=request.working_dir,
        entrypoint=tuple(request.entrypoint.arguments) if request.HasField("entrypoint") else None,
        pull_policy=_PULL_POLICIES[request.pull_policy],
        release_timeout=(
            request.release_timeout.ToTimedelta() if request.HasField("release_timeout") else None
        ),
        on_busy=_ON_BUSY[request.on_busy],
        request_id=request.request_id.lower(),
        requested_by=request.requested_by,
        labels=dict(request.labels),
        container_mode=_CONTAINER_MODES[request.container_mode],
    )


def _timeout(command: release_service_pb2.ReleaseCommand, default: timedelta) -> timedelta:
    return command.timeout.ToTimedelta() if command.HasField("timeout") else default


def _command(command: release_service_pb2.ReleaseCommand, timeout: timedelta) -> Command:
    is_line = command.WhichOneof("command") == "line"
    return Command(
        label=command.label,
        line=command.line if is_line else None,
        argv=None if is_line else tuple(command.argv.arguments),
        timeout=timeout,
        allow_failure=command.allow_failure,
        rollback=command.rollback,
    )
