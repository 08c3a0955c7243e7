"""The containers of one release: making them once, finding them again, and removing them."""

import logging
import secrets as random

import msgspec

from released.crash import CrashPoint, crash_point
from released.engine.container import (
    Process,
    container_config,
    log_config,
    name_of,
    single,
    supervised,
    unstarted_config,
    unstarted_name_of,
)
from released.engine.engine import FoundContainer
from released.engine.image import Image
from released.model.events import ContainerCreated, ContainerRemoved, ContainerStarted
from released.model.release import ReleaseSpec, Secrets
from released.model.states import Cause
from released.policy.host_paths import Refused
from released.release.cleaning import remove_containers
from released.release.context import ReleaseContext
from released.release.preparation import Preparation, refused_container
from released.release.verdict import Concluded, failed

logger = logging.getLogger(__name__)

VALUES_LOST = (
    "the host was restarted, or the daemon was, whose runtime folder was emptied or is not on a tmpfs, "
    "before all of the release had been started: the values of its environment variables and its "
    "credentials are gone, which no disk ever has: start it again"
)


class Containers:
    """Every container of a release has a name of its own in the engine, so none is made twice."""

    def __init__(self, context: ReleaseContext, secrets: Secrets | None) -> None:
        self._context = context
        self._engine = context.engine
        self._journal = context.journal
        self._secrets = secrets
        self._preparation = Preparation(context)
        self._image_id = ""
        """The image, once it is resolved: what its name stands for may change between two commands."""
        self._image: Image | None = None
        """What the engine says of it, if it was asked just now."""
        self._possible = False
        self._only = ""
        """The id of the one container that there can be, if that is known."""

    def expect(self, image_id: str) -> None:
        """Take into account what the release has had before: containers, and its image, if any."""
        self._image_id = image_id
        self._image = None
        self._possible = True
        self._only = ""

    async def keep(self) -> None:
        """Hold what containers from before may have mounted. Raises EngineUnreachable."""
        if self._possible:
            await self._context.policy.keep(self._context.release_id, self._context.spec.mounts)

    async def find(self) -> dict[int | None, FoundContainer]:
        """Return those that the engine has, by the command they run; None: all commands."""
        self._possible = True
        found = await self._engine.find_containers(self._context.release_id)
        return {container.command_index: container for container in found}

    async def create(self, command_index: int | None = None) -> FoundContainer:
        """Make the container of all commands, or of one: or return the one that is there already."""
        secrets = self._secrets_kept()
        await self.image()
        # Before anything of it is in the engine, it is on the disk that the release left the queue.
        await self._journal.noted()
        return await self._create(secrets, command_index)

    async def image(self) -> Image | None:
        """Return the release's image, resolved once and for all; None if the engine has lost it since.

        Raises Concluded if there is none.
        """
        if not self._image_id:
            self._image = await self._preparation.resolve_image(self._secrets_kept())
            self._image_id = self._image.image_id
            crash_point(CrashPoint.IMAGE_RESOLVED)
        elif self._image is None:
            self._image = await self._engine.find_image(self._image_id)
        return self._image

    async def read_from_image(self, path: str) -> bytes | None:
        """Return what a file of the image has, None if there is none. Raises NotReadable.

        For that, a container is created, and removed again.
        """
        context = self._context
        await self._journal.noted()
        name = unstarted_name_of(context.release_id, context.spec)
        config = unstarted_config(context.release_id, context.spec, self._image_id, context.instance_id)
        self._possible = True
        # One that a crash has left behind has the same name.
        await self._engine.remove_container(name)
        with refused_container():
            container_id = await self._engine.create_container(name, config)
        crash_point(CrashPoint.PROCFILE_CONTAINER_CREATED)
        try:
            return await self._engine.read_file(container_id, path)
        finally:
            await self._engine.remove_container(container_id)

    @property
    def secrets(self) -> Secrets:
        """What the release has of values that nobody may store; none, once they are lost."""
        return self._secrets or Secrets()

    def _secrets_kept(self) -> Secrets:
        if self._secrets is None:
            raise Concluded(failed(Cause.INTERRUPTED, VALUES_LOST))
        return self._secrets

    async def _create(self, secrets: Secrets, command_index: int | None) -> FoundContainer:
        # Not guarded by the switch: whether it exists must be known, so that it can be removed.
        context = self._context
        spec = await self._permitted()
        nonce = random.token_hex(16) if command_index is None else ""
        name = name_of(context.release_id, context.spec, command_index)
        log = log_config(context.config.engine.log_driver, context.config.audit.output_cap)
        config = container_config(
            context.release_id,
            spec,
            secrets,
            self._image_id,
            self._process(spec, nonce, command_index),
            log,
            context.instance_id,
        )
        self._possible = True
        self._only = ""
        try:
            with refused_container():
                container_id = await self._engine.create_container(name, config)
        except Concluded:
            if (container := (await self.find()).get(command_index)) is None:
                raise
            logger.warning("the container %s was there already", name)
            return container
        crash_point(CrashPoint.CONTAINER_CREATED)
        # As the monitor of the engine heard last, so that no release waits for it.
        version = self._engine.known_version
        created = ContainerCreated(container_id=container_id, container_name=name, engine_version=version)
        self._journal.note(created)
        self._only = container_id if command_index is None else ""
        networks = frozenset(context.spec.networks[:1])
        return FoundContainer(container_id, name, command_index, nonce, False, False, networks)

    async def _permitted(self) -> ReleaseSpec:
        """Return what the container is made of, checked again: a release may have waited for hours."""
        context = self._context
        try:
            spec = await context.policy.prepare(context.release_id, context.spec, await self.image())
            return msgspec.structs.replace(spec, commands=context.journal.commands)
        except Refused as refusal:
            raise Concluded(failed(Cause.CONTAINER_FAILED, f"the policy refuses it: {refusal}")) from refusal

    @staticmethod
    def _process(spec: ReleaseSpec, nonce: str, command_index: int | None) -> Process:
        return supervised(spec, nonce) if command_index is None else single(spec, command_index)

    async def start(self, container: FoundContainer) -> None:
        """Start a container that never was, unless the release is stopped. Safe to repeat."""
        with refused_container():
            for network in self._context.spec.networks:
                if network not in container.networks:
                    await self._engine.connect_network(network, container.container_id)
            crash_point(CrashPoint.CONTAINER_RECORDED)
            self._context.switch.check()
            await self._engine.start_container(container.container_id)
        crash_point(CrashPoint.CONTAINER_STARTED)
        self._journal.note(ContainerStarted(container_id=container.container_id))

    async def remove(self, container: FoundContainer) -> None:
        """Remove one container, and note that."""
        self._journal.note(*await self._remove(container.container_id))

    async def remove_all(self) -> list[ContainerRemoved]:
        """Remove all that there may be, and return what to record of it."""
        removed = await self._remove(self._only) if self._possible else []
        self._context.policy.let_go(self._context.release_id)
        return removed

    async def _remove(self, known: str) -> list[ContainerRemoved]:
        context = self._context
        crash_point(CrashPoint.BEFORE_REMOVAL)
        removed = await remove_containers(self._engine, context.release_id, context.troubles, known)
        crash_point(CrashPoint.AFTER_REMOVAL)
        return removed
