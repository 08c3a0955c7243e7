"""Finding out which commands a release runs, once its image is there."""

from posixpath import join

from released.engine.image import Image
from released.engine.image_file import NotReadable
from released.model.events import CommandFinished
from released.model.release import Command
from released.model.states import Cause, CommandState
from released.release.containers import Containers
from released.release.context import ReleaseContext
from released.release.procfile import NAME as PROCFILE
from released.release.resolving import (
    CommandsInvalid,
    declared_by_label,
    declared_by_procfile,
    may_be_in_procfile,
    resolve,
)
from released.release.standing import Standing
from released.release.verdict import Concluded, failed


class CommandResolver:
    """Tells one release its commands, and records them, or concludes it with the reason why not."""

    def __init__(self, context: ReleaseContext, containers: Containers) -> None:
        self._context = context
        self._containers = containers

    async def resolve(self, standing: Standing) -> None:
        """See to it that the commands are in the journal, and of those to be skipped that they are."""
        if not standing.commands_known and self._context.spec.settings is not None:
            await self._context.journal.resolve(await self._commands())
            standing.commands_known = True
        self._pass_over(standing)

    async def _commands(self) -> tuple[Command, ...]:
        """What image and settings say. Raises Concluded if that can't be run."""
        spec = self._context.spec
        image = await self._containers.image()
        if image is None:
            message = f"the image {spec.image} is not there any more: start the release again"
            raise Concluded(failed(Cause.IMAGE_UNAVAILABLE, message))
        try:
            return resolve(spec, await self._declared(image), self._containers.secrets)
        except CommandsInvalid as error:
            raise Concluded(failed(Cause.COMMANDS_INVALID, str(error))) from None

    async def _declared(self, image: Image) -> tuple[Command, ...]:
        """What the image declares for the release, in whichever way. Raises CommandsInvalid."""
        spec, config = self._context.spec, self._context.config.releases
        timeout = config.default_command_timeout
        if not config.read_procfile or not may_be_in_procfile(spec, image):
            return declared_by_label(spec, image, timeout)
        try:
            content = await self._containers.read_from_image(join("/", image.working_dir, PROCFILE))
        except NotReadable as error:
            raise CommandsInvalid(f"{error}, in the image {spec.image}") from None
        return declared_by_procfile(spec, content, timeout) if content else ()

    def _pass_over(self, standing: Standing) -> None:
        """Note of the commands that are to be skipped that they are."""
        for index, command in enumerate(self._context.journal.commands):
            if command.skip_reason and index not in standing.finished:
                skipped = CommandFinished(command_index=index, state=CommandState.SKIPPED)
                self._context.journal.note(skipped)
                standing.finished[index] = skipped
