"""A request for a release, measured by its form and by the policy: all that is wrong is said at once."""

from collections.abc import AsyncIterator, Iterator

import msgspec

from released.config import Config
from released.engine.errors import EngineError
from released.errors import Unavailable, Violation
from released.model.release import Mount, ReleaseSpec, Resources, Secrets, Target
from released.policy.host_paths import Refused
from released.policy.policy import Policy
from released.policy.rules import Rules
from released.service.forms import NAME, is_clean_path
from released.service.validation import MOST_MOUNTS, validate
from releasephase.v1 import release_service_pb2


async def admit(
    request: release_service_pb2.StartReleaseRequest, config: Config, policy: Policy
) -> tuple[ReleaseSpec, Secrets]:
    """Return what the release is to be, with the policy's defaults, and apart what must not be stored.

    Raises InvalidRequest, PolicyViolation, and Unavailable if the engine can't be asked about a volume.
    """
    rules = policy.rules(Target(request.application, request.environment))
    refused = [*_refused(request, rules)]
    refused += [violation async for violation in _refused_mounts(request, policy, rules)]
    default_timeout = config.releases.default_command_timeout
    spec, secrets = validate(request, default_timeout, config.secrets.names, refused)
    return msgspec.structs.replace(spec, resources=rules.resources(spec.resources)), secrets


def _refused(request: release_service_pb2.StartReleaseRequest, rules: Rules) -> Iterator[Violation]:
    refusals = {
        "image": rules.refuse_image(request.image),
        **{f"env[{index}].name": rules.refuse_variable(each.name) for index, each in enumerate(request.env)},
        **{f"networks[{index}]": rules.refuse_network(each) for index, each in enumerate(request.networks)},
        "user": rules.refuse_user(request.user),
        "working_dir": rules.refuse_working_dir(request.working_dir),
    }
    asked = Resources(request.resources.memory_bytes, request.resources.cpus, request.resources.pids)
    refusals |= {f"resources.{name}": refusal for name, refusal in rules.refuse_resources(asked).items()}
    for field, refusal in refusals.items():
        if refusal:
            yield Violation(field, refusal)


async def _refused_mounts(
    request: release_service_pb2.StartReleaseRequest, policy: Policy, rules: Rules
) -> AsyncIterator[Violation]:
    for index, mount in enumerate(request.mounts[:MOST_MOUNTS]):
        if not _is_well_formed(mount.source, mount.target):
            continue  # bad input, which nobody looks for on the disk
        try:
            await policy.check_mount(Mount(mount.source, mount.target, mount.read_only), rules)
        except Refused as refusal:
            yield Violation(f"mounts[{index}]", str(refusal))
        except EngineError as error:
            raise Unavailable(
                "ENGINE_UNAVAILABLE", f"the container engine does not answer: {error}"
            ) from error


def _is_well_formed(source: str, target: str) -> bool:
    return is_clean_path(target) and (is_clean_path(source) or NAME.fullmatch(source) is not None)
