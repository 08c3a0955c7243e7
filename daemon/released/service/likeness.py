"""What a release takes from a running container: put into its request as if it had been sent.

Whatever holds for a request (form, size, policy, masking) then holds for what was taken, too. No value of
a variable is in any error: only names are.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import msgspec

from released.config import Config
from released.engine.description import Defaults, Description
from released.engine.engine import Engine
from released.engine.errors import EngineRefused, EngineUnreachable
from released.errors import InvalidRequest, PolicyViolation, RefusedFields, Unavailable, Violation
from released.model.forms import NAME
from released.model.release import Likeness, ReleaseSpec, Secrets, Target
from released.model.secret_values import is_plain
from released.policy.host_paths import normal_path
from released.policy.policy import Policy
from released.policy.rules import Rules
from released.service.plain_secrets import MOST_SECRET_BYTES, is_too_much, names_in_plain
from released.service.validation import RESERVED_PREFIXES, check_size, is_target, read_secrets
from releasephase.v1.release_pb2 import Mount as MountMessage
from releasephase.v1.release_service_pb2 import EnvironmentVariable, StartReleaseRequest

FIELD = "like_container"

OWN_VARIABLES = frozenset({"RELEASE_COMMAND"})
"""Of release containers, beside those with a reserved prefix."""

_ID = re.compile(r"[0-9a-f]{1,64}")
"""An id of a container, or its head."""


class Taken(NamedTuple):
    """A request with what was taken, or why nothing may be."""

    request: StartReleaseRequest
    likeness: Likeness | None = None
    """What was taken; None if nothing was asked for."""
    refusal: RefusedFields | None = None
    origins: Mapping[str, str] = {}
    """Of fields of the request that were taken, such as `env[3]`: what they are of the container."""

    def __repr__(self) -> str:
        return f"Taken({self.likeness!r}, …)"

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Let the refusal of what was taken name the container, and come with all else that is refused."""
        refused = self.refusal
        try:
            yield
        except RefusedFields as error:
            refused = _joined(error, refused)
        if refused:
            raise type(refused)([self._told(violation) for violation in refused.violations])

    def recorded_in(self, spec: ReleaseSpec, secrets: Secrets) -> ReleaseSpec:
        """Return a release that says what was taken, and of which variables the values are secret.

        Nobody has said which of those that were taken are, as whoever sends a request does. So all are,
        but for words and what stands in the request anyway: to mask that would spoil the output.

        Raises InvalidRequest if that is too much.
        """
        if self.likeness is None:
            return spec
        doubtful = [
            name
            for name in self.likeness.environment_names
            if name not in spec.secret_names and not is_plain(secrets.environment[name])
        ]
        plain = names_in_plain(self.request, secrets, doubtful)
        names = (*spec.secret_names, *(name for name in doubtful if name not in plain))
        if is_too_much(secrets, names):
            too_much = (
                f"{self.likeness.container_name} has more than {MOST_SECRET_BYTES} bytes in variables "
                "that are taken for secret: have those in `env` that are not, without marking them"
            )
            raise InvalidRequest([Violation(FIELD, too_much)])
        return msgspec.structs.replace(spec, likeness=self.likeness, secret_names=names)

    def _told(self, violation: Violation) -> Violation:
        origin = self.origins.get(violation.field.partition(".")[0])
        return Violation(FIELD, f"{origin}: {violation.description}") if origin else violation


async def take(request: StartReleaseRequest, config: Config, policy: Policy, engine: Engine) -> Taken:
    """Return a request with what it takes from the container that it names, if it names one.

    Its caller may start releases of its target, unless that is malformed: such a request is refused anyway.
    Raises InvalidRequest if a secret stands in it in plain, or if it gets too large; Unavailable.
    """
    target = Target(request.application, request.environment)
    if not NAME.fullmatch(request.like_container) or not is_target(target):
        return Taken(request)
    # Before anything is said that quotes the name.
    read_secrets(request, config.secrets.names)
    try:
        container = await _allowed(request.like_container, policy.rules(target), engine)
        defaults = await _defaults(container, engine)
    except RefusedFields as refusal:
        return Taken(request, refusal=refusal)
    taken = merged(request, container, defaults)
    try:
        check_size(taken.request)
    except InvalidRequest as error:
        raise InvalidRequest(
            [Violation(field, f"{text}, with what {container.name} has") for field, text in error.violations]
        ) from error
    return taken


async def _allowed(name: str, rules: Rules, engine: Engine) -> Description:
    """Return the container of a name or an id from which may be taken.

    Any other one is as if it was not there: nothing is told of it, not even whether it is.
    """
    refusal = rules.refuse_like_container(name)
    why_not = f"the engine has no container {name}: see `docker ps`"
    found = None
    try:
        # An id does not say which container it is of.
        if not refusal or _ID.fullmatch(name):
            found = await engine.find_container(name)
    except EngineRefused as error:
        # It is the head of several ids, for one.
        why_not = str(error)
    except EngineUnreachable as error:
        raise _unavailable(error) from error
    if found and not rules.refuse_like_container(found.name):
        return found
    if refusal:
        raise PolicyViolation([Violation(FIELD, refusal)])
    raise InvalidRequest([Violation(FIELD, why_not)])


async def _defaults(container: Description, engine: Engine) -> Defaults:
    """Return what a container's image gives it, if something may be taken from the container as it is."""
    if container.is_release:
        of_release = f"{container.name} is the container of a release: name one of the application"
        raise PolicyViolation([Violation(FIELD, of_release)])
    if not container.running:
        raise InvalidRequest(
            [Violation(FIELD, f"{container.name} is not running: start it, or name one that is")]
        )
    try:
        defaults = await engine.find_defaults(container.image_id)
    except EngineUnreachable as error:
        raise _unavailable(error) from error
    if defaults is None:
        no_image = f"the image of {container.name} is gone, so what else it has can't be told: start it anew"
        raise InvalidRequest([Violation(FIELD, no_image)])
    return defaults


def merged(request: StartReleaseRequest, container: Description, defaults: Defaults) -> Taken:
    """Return a request with what a container has besides what its image gives it.

    What the request has itself counts more: variables by their names, mounts by where they are, networks
    and the user as a whole. Its own come first.
    """
    sent = {variable.name for variable in request.env}
    variables = {
        name: value
        for name, value in container.environment.items()
        if name not in sent and defaults.environment.get(name) != value and not _is_ours(name)
    }
    networks = () if request.networks else container.networks
    places = {normal_path(mount.target) for mount in request.mounts}
    mounts = tuple(mount for mount in container.mounts if normal_path(mount.target) not in places)
    user = "" if request.user or container.user == defaults.user else container.user
    whole = StartReleaseRequest()
    whole.CopyFrom(request)
    # Of one that was named by its id, too, the name is stored: no secret may stand in it.
    whole.like_container = container.name
    whole.env.extend(EnvironmentVariable(name=name, value=value) for name, value in variables.items())
    whole.networks.extend(networks)
    whole.mounts.extend(
        MountMessage(source=mount.source, target=mount.target, read_only=mount.read_only) for mount in mounts
    )
    whole.user = user or request.user
    likeness = Likeness(
        container_id=container.container_id,
        container_name=container.name,
        environment_names=tuple(variables),
        networks=networks,
        mounts=mounts,
        user=user,
    )
    return Taken(whole, likeness, origins=_origins(request, likeness))


def _is_ours(name: str) -> bool:
    return name in OWN_VARIABLES or name.startswith(RESERVED_PREFIXES)


def _origins(request: StartReleaseRequest, likeness: Likeness) -> dict[str, str]:
    """Return what each field is of the container that was taken, by its place behind the request's own."""
    of = f"of {likeness.container_name}"
    variables = enumerate(likeness.environment_names, len(request.env))
    networks = enumerate(likeness.networks, len(request.networks))
    mounts = enumerate(likeness.mounts, len(request.mounts))
    return {
        **{f"env[{index}]": f"the variable {name!r} {of}" for index, name in variables},
        **{f"networks[{index}]": f"the network {name} {of}" for index, name in networks},
        **{f"mounts[{index}]": f"the mount at {mount.target} {of}" for index, mount in mounts},
        **({"user": f"the user {of}"} if likeness.user else {}),
    }


def _joined(error: RefusedFields, other: RefusedFields | None) -> RefusedFields:
    """Return all that is refused; it is bad input if some of it is."""
    if other is None:
        return error
    kind = InvalidRequest if InvalidRequest in (type(error), type(other)) else type(error)
    return kind([*error.violations, *other.violations])


def _unavailable(error: EngineUnreachable) -> Unavailable:
    return Unavailable("ENGINE_UNAVAILABLE", f"the container engine does not answer: {error}")
