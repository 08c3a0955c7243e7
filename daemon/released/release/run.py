"""One release, from leaving the queue to its recorded result."""

import asyncio
import logging
import secrets as random
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from released.audit.log import AuditLog
from released.config import Config
from released.engine.container import container_config, name_of
from released.engine.engine import Engine
from released.engine.errors import EngineError, EngineUnreachable
from released.engine.image import Image
from released.errors import ApplicationError
from released.model.events import ContainerCreated, ContainerStarted
from released.model.release import ReleaseSpec, Secrets
from released.model.states import Cause, ReleaseState
from released.release.cleaning import remove_containers
from released.release.commands import CommandRunner
from released.release.context import ReleaseContext
from released.release.journal import Journal
from released.release.output import OutputRecorder
from released.release.preparation import Preparation, refused_container
from released.release.session import Session
from released.release.stopping import Stopped, StopSwitch
from released.release.verdict import SUCCEEDED, Concluded, Stop, Verdict, failed, stopped

logger = logging.getLogger(__name__)


class ReleaseRun:
    """Runs one release's commands in a container of its image, then discards the container.

    Two lifetimes: the work, which `stop` ends early, and the clean-up, which it does not.
    """

    def __init__(
        self,
        release_id: str,
        spec: ReleaseSpec,
        secrets: Secrets,
        engine: Engine,
        audit: AuditLog,
        config: Config,
    ) -> None:
        journal = Journal(audit, release_id, len(spec.commands))
        self._context = ReleaseContext(
            release_id=release_id,
            spec=spec,
            engine=engine,
            config=config,
            journal=journal,
            recorder=OutputRecorder(journal.append_output, config.audit.output_cap),
            switch=StopSwitch(),
        )
        self._secrets = secrets
        self._container_id = ""

    @property
    def stopped(self) -> Stop | None:
        """Why the work was stopped, if it was."""
        return self._context.switch.stopped

    def stop(self, stop: Stop) -> bool:
        """Stop the work, and return whether that will be so: it may have ended, or been stopped before.

        The release ends when its command has ended and its container is gone.
        """
        return self._context.switch.stop(stop)

    async def run(self) -> None:
        """Run the release to its recorded end.

        Raises ApplicationError if the audit log can't be written; the container is removed
        even then. Cancelled, it leaves everything as it is, for the next start of the daemon.
        """
        context = self._context
        await context.journal.enter(ReleaseState.PREPARING)
        try:
            verdict = await self._work()
        except ApplicationError:
            await self._clean_up(SUCCEEDED)
            raise
        context.switch.close()
        verdict = await self._clean_up(verdict)
        await context.recorder.flush()
        await context.journal.conclude(verdict)

    async def _work(self) -> Verdict:
        try:
            with self._release_timeout():
                await self._run_commands()
        except Concluded as conclusion:
            return conclusion.verdict
        except Stopped as error:
            return stopped(error.stop)
        except EngineUnreachable as error:
            return failed(Cause.ENGINE_LOST, str(error))
        except EngineError as error:
            return failed(Cause.CONTAINER_FAILED, str(error))
        except ApplicationError:
            raise
        except Exception as error:
            logger.exception("unexpected error")
            return failed(Cause.INTERRUPTED, f"an unexpected error of the daemon, see its log: {error!r}")
        return SUCCEEDED

    async def _run_commands(self) -> None:
        context = self._context
        preparation = Preparation(context)
        image = await preparation.resolve_image(self._secrets)
        nonce = random.token_hex(16)
        await self._create_container(image, nonce)
        async with (
            context.engine.attach(self._container_id) as attachment,
            Session.opened(attachment, nonce, context.recorder) as session,
        ):
            await self._start_container()
            await preparation.await_supervisor(session, self._container_id, image)
            await context.journal.enter(ReleaseState.RUNNING)
            runner = CommandRunner(context, session, self._container_id)
            for index, command in enumerate(context.spec.commands):
                await runner.run(index, command)

    async def _create_container(self, image: Image, nonce: str) -> None:
        # Not guarded by the switch: whether it exists must be known, so that it can be removed.
        context = self._context
        spec = context.spec
        name = name_of(context.release_id, spec)
        config = container_config(
            context.release_id,
            spec,
            self._secrets,
            image.image_id,
            nonce,
            context.config.engine.log_driver,
        )
        with refused_container():
            self._container_id = await context.engine.create_container(name, config)
            await context.journal.record(
                ContainerCreated(container_id=self._container_id, container_name=name),
            )
            for network in spec.networks[1:]:
                await context.engine.connect_network(network, self._container_id)

    async def _start_container(self) -> None:
        with refused_container():
            await self._context.engine.start_container(self._container_id)
        await self._context.journal.record(ContainerStarted(container_id=self._container_id))

    async def _clean_up(self, verdict: Verdict) -> Verdict:
        """Remove the container. A failed release says so if that was not possible."""
        context = self._context
        try:
            removed = await remove_containers(context.engine, context.release_id, self._container_id)
        except EngineError as error:
            logger.error("the container is left behind: %s", error)
            if verdict.failure is None:
                return verdict
            message = f"{verdict.failure.message} Its container could not be removed: {error}."
            failure = msgspec.structs.replace(verdict.failure, message=message)
            return msgspec.structs.replace(verdict, failure=failure)
        if removed:
            await context.journal.record(*removed)
        return verdict

    @contextmanager
    def _release_timeout(self) -> Iterator[None]:
        """Stop the work when the release's time is up."""
        timeout = self._context.spec.release_timeout
        if timeout is None:
            yield
            return
        loop = asyncio.get_running_loop()
        timer = loop.call_later(timeout.total_seconds(), self.stop, Stop.RELEASE_TIMED_OUT)
        try:
            yield
        finally:
            timer.cancel()
