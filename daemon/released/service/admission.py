"""A request for a release, measured by its form and by the policy: all that is wrong is said at once."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from functools import partial

import msgspec

from released.config import Config
from released.engine.errors import EngineError
from released.errors import InvalidRequest, PolicyViolation, Unavailable, Violation
from released.model.release import Mount, ReleaseSpec, Resources, Secrets, Target
from released.policy.host_paths import Refused
from released.policy.policy import Policy
from released.policy.rules import Rules
from released.service.validation import form_violations, read_secrets, read_spec
from releasephase.v1 import release_service_pb2


async def admit(
    request: release_service_pb2.StartReleaseRequest,
    config: Config,
    policy: Policy,
    found: Iterable[Violation] = (),
) -> tuple[ReleaseSpec, Secrets]:
    """Return what the release is to be, with the policy's defaults, and apart what must not be stored.

    `found` is what is known to be wrong with the request besides its form.

    Raises InvalidRequest, with what the policy refuses besides, PolicyViolation if there is only
    that, and Unavailable if the engine can't be asked about a volume.
    """
    secrets, secret_names = read_secrets(request, config.secrets.names)
    wrong = [*found, *form_violations(request)]
    rules = policy.rules(Target(request.application, request.environment))
    malformed = Malformed(wrong)
    refused = list(_refused(request, rules, malformed))
    refused += [violation async for violation in _refused_mounts(request, policy, rules, malformed)]
    if wrong:
        raise InvalidRequest([*wrong, *refused])
    if refused:
        raise PolicyViolation(refused)
    spec = read_spec(request, config.releases.default_command_timeout, secret_names)
    return msgspec.structs.replace(spec, resources=rules.resources(spec.resources)), secrets


class Malformed:
    """The fields whose form is wrong: what they were meant to be is not known, nor how long they are."""

    def __init__(self, violations: Iterable[Violation]) -> None:
        self._wrong = {violation.field for violation in violations}
        self._around = {place for field in self._wrong for place in _places(field)}

    def __contains__(self, field: str) -> bool:
        """Whether the form is wrong of a field, of something in it, or of what it is in."""
        return field in self._around or not self._wrong.isdisjoint(_places(field))


def _places(field: str) -> Iterator[str]:
    """Yield a field and what it is in: `env[0].name`, `env[0]`, `env`."""
    yield field
    yield from (field[: end.start()] for end in re.finditer(r"[.\[]", field))


def _refused(
    request: release_service_pb2.StartReleaseRequest, rules: Rules, malformed: Malformed
) -> Iterator[Violation]:
    asked = Resources(request.resources.memory_bytes, request.resources.cpus, request.resources.pids)
    checks: dict[str, Callable[[], str]] = {
        "image": lambda: rules.refuse_image(request.image),
        **{f"env[{i}].name": partial(rules.refuse_variable, each.name) for i, each in enumerate(request.env)},
        **{f"networks[{i}]": partial(rules.refuse_network, each) for i, each in enumerate(request.networks)},
        **({} if request.networks else {"networks": lambda: rules.refuse_network("")}),
        "user": lambda: rules.refuse_user(request.user),
        "working_dir": lambda: rules.refuse_working_dir(request.working_dir),
    }
    for field, check in checks.items():
        if field not in malformed and (refusal := check()):
            yield Violation(field, refusal)
    for name, refusal in rules.refuse_resources(asked).items():
        if refusal and f"resources.{name}" not in malformed:
            yield Violation(f"resources.{name}", refusal)


async def _refused_mounts(
    request: release_service_pb2.StartReleaseRequest, policy: Policy, rules: Rules, malformed: Malformed
) -> AsyncIterator[Violation]:
    for index, mount in enumerate(request.mounts):
        if f"mounts[{index}]" in malformed:
            continue
        try:
            await policy.check_mount(Mount(mount.source, mount.target, mount.read_only), rules)
        except Refused as refusal:
            yield Violation(f"mounts[{index}]", str(refusal))
        except EngineError as error:
            raise Unavailable(
                "ENGINE_UNAVAILABLE", f"the container engine does not answer: {error}"
            ) from error
