"""What a release would be like that is not started: its image, its commands, and how long they take."""

import asyncio
from datetime import timedelta
from typing import NamedTuple

import msgspec

from released.audit.log import AuditLog
from released.audit.statistics import MEDIAN_RUNS, median
from released.config import Configuration
from released.config.registry_credentials import RegistryCredentials
from released.engine.engine import Engine
from released.engine.errors import EngineError
from released.engine.image import Image
from released.errors import ConfigError, FailedPrecondition, Unavailable
from released.model.durations import in_words
from released.model.image_reference import is_image_id
from released.model.release import ReleaseSpec, Secrets, Target
from released.model.secret_values import auth_values
from released.model.states import PullPolicy
from released.release.masking.masking import Mask
from released.release.resolving import CommandsInvalid, declared_by_label, may_be_in_procfile, resolve

REGISTRY_TIMEOUT = timedelta(seconds=10)
"""How long a registry may take to answer: somebody waits for the plan, and can do without that."""


class Plan(NamedTuple):
    """A release as far as it can be told beforehand."""

    spec: ReleaseSpec
    """With the commands that are known."""
    image_id: str
    """Of the image if the engine has it; empty if it would be pulled."""
    image_digest: str
    """`repository@sha256:…`; empty if nobody knows one."""
    expected: tuple[timedelta | None, ...]
    """For each command the median of its runs, None without any."""
    remarks: tuple[str, ...]
    """What can't be told, and why."""

    @property
    def expected_duration(self) -> timedelta | None:
        """How long all that is run takes together; None if that can't be told."""
        if self.spec.settings is not None and self.remarks:
            return None  # there may be more commands
        total = timedelta()
        for command, duration in zip(self.spec.commands, self.expected, strict=True):
            if command.skip_reason:
                continue
            if duration is None:
                return None
            total += duration
        return total


class _Found(NamedTuple):
    """What is known of an image. Not there: it would be pulled."""

    image: Image | None
    digest: str
    remarks: tuple[str, ...] = ()


def _not_known(spec: ReleaseSpec, why: str) -> _Found:
    """Of an image that the registry did not tell of."""
    what = (
        "which image would be pulled, and what it declares,"
        if spec.settings is not None
        else "which image would be pulled"
    )
    return _Found(None, "", (f"{what} is not known: {why}",))


class Planner:
    """Makes plans. Nothing is stored, started or pulled for one."""

    def __init__(self, engine: Engine, audit: AuditLog, configuration: Configuration) -> None:
        self._engine = engine
        self._audit = audit
        self._configuration = configuration

    async def plan(self, spec: ReleaseSpec, secrets: Secrets) -> Plan:
        """Return what a request that was admitted would become.

        Raises FailedPrecondition for what would fail with COMMANDS_INVALID, Unavailable without an engine.
        """
        found = await self._find(spec, secrets) if not spec.runs_nothing else _Found(None, "")
        remarks = found.remarks
        if spec.settings is not None:
            if self._may_be_in_procfile(spec, found.image):
                remarks += ("whether the image's Procfile has a release command is not known before",)
            spec = self._with_commands(spec, secrets, found.image)
        image_id = found.image.image_id if found.image else ""
        expected = await self._expected(spec)
        return Plan(spec, image_id, found.digest, expected, remarks)

    def _may_be_in_procfile(self, spec: ReleaseSpec, image: Image | None) -> bool:
        is_read = self._configuration.current.releases.read_procfile
        return is_read and image is not None and may_be_in_procfile(spec, image)

    def _with_commands(self, spec: ReleaseSpec, secrets: Secrets, image: Image | None) -> ReleaseSpec:
        """Add the commands, those of the settings alone as long as the image is not there."""
        if image is None:
            return msgspec.structs.replace(spec, commands=spec.settings or ())
        default_timeout = self._configuration.current.releases.default_command_timeout
        try:
            declared = declared_by_label(spec, image, default_timeout)
            commands = resolve(spec, declared, secrets)
        except CommandsInvalid as error:
            raise FailedPrecondition("COMMANDS_INVALID", str(error)) from None
        return msgspec.structs.replace(spec, commands=commands)

    async def _find(self, spec: ReleaseSpec, secrets: Secrets) -> _Found:
        try:
            image = await self._engine.find_image(spec.image)
        except EngineError as error:
            message = f"the container engine does not answer: {error}"
            raise Unavailable("ENGINE_UNAVAILABLE", message) from error
        if image and spec.pull_policy is not PullPolicy.ALWAYS:
            return _Found(image, image.digest)
        if is_image_id(spec.image) or spec.pull_policy is PullPolicy.NEVER:
            return _Found(
                None, "", (f"the engine does not have the image {spec.image}: the release would fail",)
            )
        return await self._in_registry(spec, secrets, image)

    async def _in_registry(self, spec: ReleaseSpec, secrets: Secrets, image: Image | None) -> _Found:
        """Ask the registry which image would be pulled: it may be the one that is there."""
        config = self._configuration.current
        auth = secrets.registry_auth
        try:
            auth = auth or RegistryCredentials.at(config.registry.config).auth_for(spec.image)
            async with asyncio.timeout(REGISTRY_TIMEOUT.total_seconds()):
                digest = await self._engine.registry_digest(spec.image, auth)
        except TimeoutError:
            silence = f"its registry did not answer within {in_words(REGISTRY_TIMEOUT)}"
            return _not_known(spec, silence)
        except (EngineError, ConfigError) as error:
            # What others say may quote the credentials.
            said = Mask(value for _, value in auth_values(auth)).text(str(error)) if auth else str(error)
            return _not_known(spec, said)
        if image and image.digest == digest:
            return _Found(image, digest)
        unknown = f"the image {spec.image} would be pulled: what it declares is not known before"
        return _Found(None, digest, (unknown,) if spec.settings is not None else ())

    async def _expected(self, spec: ReleaseSpec) -> tuple[timedelta | None, ...]:
        labels = {command.label for command in spec.commands}
        medians = {label: await self._median(spec.target, label) for label in labels}
        return tuple(medians[command.label] for command in spec.commands)

    async def _median(self, target: Target, label: str) -> timedelta | None:
        runs = await self._audit.query.command_times.successes(target, label, MEDIAN_RUNS)
        return median(runs) if runs else None
