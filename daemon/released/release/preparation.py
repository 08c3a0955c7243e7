"""What comes before the first command: the image, and a container that waits at the first gate."""

import logging
import shlex
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import timedelta
from time import monotonic

import msgspec

from released.engine.errors import EngineRefused, EngineUnreachable, PullFailed
from released.engine.image import Image
from released.errors import ConfigError
from released.model.durations import in_words
from released.model.events import ImagePullProgress, ImageResolved
from released.model.image_reference import is_image_id
from released.model.release import RegistryAuth, Secrets
from released.model.secret_values import auth_values
from released.model.states import Cause, PullPolicy
from released.release.context import ReleaseContext
from released.release.endings import Ending, how_it_ended
from released.release.masking.masking import Mask
from released.release.session import Session
from released.release.verdict import Concluded, failed

logger = logging.getLogger(__name__)

PROGRESS_INTERVAL = 1.0
"""How many seconds lie between two events that tell how far a pull has got, at least."""

NO_SHELL = (
    "the image has no /bin/sh, which release commands are run with: add a POSIX shell to it, or run each "
    "command as an argv in a container of its own "
    "(container_mode PER_COMMAND; `--container command` with `--exec`)"
)


class Preparation:
    """Gets one release as far as its first gate, or concludes it with the reason."""

    def __init__(self, context: ReleaseContext) -> None:
        self._spec = context.spec
        self._engine = context.engine
        self._credentials = context.credentials
        self._config = context.config.releases
        self._journal = context.journal
        self._switch = context.switch

    async def resolve_image(self, secrets: Secrets) -> Image:
        """Return the image, pulled if the policy says so."""
        timeout = timedelta(seconds=self._config.pull_timeout)
        try:
            return await self._switch.guard(self._resolve_image(secrets), timeout)
        except TimeoutError:
            message = f"the image {self._spec.image} could not be pulled within {in_words(timeout)}"
        except (PullFailed, EngineRefused, ConfigError) as error:
            message = str(error)
        raise Concluded(failed(Cause.IMAGE_UNAVAILABLE, message))

    async def _resolve_image(self, secrets: Secrets) -> Image:
        reference, policy = self._spec.image, self._spec.pull_policy
        if self._spec.rollback_of:
            # By its id: what the name stands for may be another image by now.
            return self._resolved(await self._engine.find_image(self._spec.image_id), pulled=False)
        image = None if policy is PullPolicy.ALWAYS else await self._engine.find_image(reference)
        pulled = image is None and policy is not PullPolicy.NEVER and not is_image_id(reference)
        if pulled:
            await self._pull(secrets.registry_auth or self._credentials.auth_for(reference))
            image = await self._engine.find_image(reference)
        return self._resolved(image, pulled=pulled)

    def _resolved(self, image: Image | None, *, pulled: bool) -> Image:
        """Note what the release's image is. Raises PullFailed if there is none, or it has to be another."""
        if image is None:
            raise PullFailed(
                f"the engine does not have the image {self._spec.image}, {self._why_not(pulled)}"
            )
        if self._spec.image_id not in ("", image.image_id):
            raise PullFailed(
                f"the image {self._spec.image} is {image.image_id} by now, and the release that is tried "
                f"again had {self._spec.image_id}: start a new release instead"
            )
        self._journal.note(
            ImageResolved(image_id=image.image_id, image_digest=image.digest, pulled=pulled),
        )
        return image

    def _why_not(self, pulled: bool) -> str:
        if pulled:
            return "although it was pulled just now"
        if self._spec.rollback_of:
            return f"{self._spec.image_id}, any more, with which the release ran that is to be rolled back"
        return "an id can't be pulled" if is_image_id(self._spec.image) else "and its pull policy is NEVER"

    async def _pull(self, auth: RegistryAuth | None) -> None:
        """Pull the image. What others say of it is masked: it may quote the credentials."""
        mask = Mask(value for _, value in auth_values(auth)) if auth else Mask(())
        try:
            await self._record_pull(auth, mask)
        except (PullFailed, EngineUnreachable) as error:
            raise type(error)(mask.text(str(error))) from None

    async def _record_pull(self, auth: RegistryAuth | None, mask: Mask) -> None:
        logger.info("pulling %s", self._spec.image)
        recorded = float("-inf")
        latest: ImagePullProgress | None = None
        async with aclosing(self._engine.pull_image(self._spec.image, auth)) as pull:
            async for progress in pull:
                latest = msgspec.structs.replace(progress, status=mask.text(progress.status))
                if monotonic() - recorded >= PROGRESS_INTERVAL:
                    self._journal.note(latest)
                    recorded, latest = monotonic(), None
        if latest is not None:
            self._journal.note(latest)

    async def await_supervisor(self, session: Session, container_id: str) -> None:
        """Return once the entrypoint has handed over to the supervisor."""
        timeout = timedelta(seconds=self._config.start_timeout)
        try:
            if await self._switch.guard(session.ready(), timeout):
                return
        except TimeoutError:
            message = f"the container did not get ready for its commands within {in_words(timeout)}: "
            raise Concluded(
                failed(Cause.CONTAINER_FAILED, message + await self._advice(container_id))
            ) from None
        ending = await how_it_ended(self._engine, container_id)
        await session.ended()
        raise Concluded(failed(ending.cause, await self._explain_early_end(ending, container_id)))

    async def _explain_early_end(self, ending: Ending, container_id: str) -> str:
        if ending.exit_code == 127 and not await self._entrypoint(container_id):
            return NO_SHELL
        return f"{ending.message} before it was ready for its commands: {await self._advice(container_id)}"

    async def _entrypoint(self, container_id: str) -> tuple[str, ...]:
        if self._spec.entrypoint is not None:
            return self._spec.entrypoint
        # By the container's own: what the name stands for may be another image by now.
        container = await self._engine.find_container(container_id)
        image = await self._engine.find_image(container.image_id) if container else None
        return image.entrypoint if image else ()

    async def _advice(self, container_id: str) -> str:
        entrypoint = await self._entrypoint(container_id)
        if not entrypoint:
            return "see its output"
        return (
            f'its entrypoint, {shlex.join(entrypoint)!r}, has to run its arguments, as `exec "$@"` does; '
            "start the release with an entrypoint override if it does not"
        )


@contextmanager
def refused_container() -> Iterator[None]:
    """Conclude the release when the engine refuses its container: the engine's words say why."""
    try:
        yield
    except EngineRefused as error:
        raise Concluded(failed(Cause.CONTAINER_FAILED, explain_refusal(str(error)))) from error


def explain_refusal(message: str) -> str:
    """Add what to do to the engine's words, where they are known to need it."""
    return f"{NO_SHELL} (the engine said: {message})" if 'exec: "/bin/sh"' in message else message
