"""One release, from leaving the queue to its recorded result."""

import asyncio
import logging
import secrets as random
from collections.abc import Iterator
from contextlib import contextmanager

from released.audit.log import AuditLog
from released.config import Config
from released.engine.container import container_config, name_of
from released.engine.engine import Engine
from released.engine.errors import EngineError, EngineUnreachable
from released.engine.image import Image
from released.errors import ApplicationError
from released.model.events import ContainerCreated, ContainerRemoved, ContainerStarted
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
from released.release.verdict import SUCCEEDED, Concluded, Stop, Verdict, failed, stopped, with_remark

logger = logging.getLogger(__name__)

ENGINE_PATIENCE = 10.0
"""Seconds that a lost engine gets to come back before the loss is reported."""

STILL_THERE = "Its container may still run; it is removed when the engine is back."


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
        self._container_possible = False
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
        """Run the release to its recorded end, however long the engine or the log are away meanwhile.

        Cancelled, it leaves everything as it is, for the next start of the daemon.
        """
        verdict = await self._work()
        if verdict.failure and verdict.failure.cause is Cause.ENGINE_LOST:
            await self._report_loss(verdict)
        else:
            # Removed, then reported: whoever reads the result may rely on it that nothing runs on.
            removed = await self._remove_container()
            await self._context.journal.conclude_at_last(verdict, *removed)

    async def _report_loss(self, verdict: Verdict) -> None:
        """Report a lost engine without waiting for it; the lane stays taken until the container is gone."""
        removal = asyncio.create_task(self._remove_container())
        try:
            await asyncio.wait({removal}, timeout=ENGINE_PATIENCE)
            removed = removal.result() if removal.done() else []
            if not removal.done():
                verdict = with_remark(verdict, STILL_THERE)
            await self._context.journal.conclude_at_last(verdict, *removed)
            await removal
        finally:
            removal.cancel()

    async def _work(self) -> Verdict:
        context = self._context
        try:
            context.journal.enter(ReleaseState.PREPARING)
            verdict = await self._verdict()
            # The container is the evidence for what it did: it may go once that is on the disk.
            await context.recorder.flush()
            await context.journal.noted()
        except ApplicationError as error:
            logger.error("stopping the release: %s", error)
            return failed(Cause.INTERRUPTED, f"what the release did could not be recorded: {error}")
        return verdict

    async def _verdict(self) -> Verdict:
        """Do the work and turn whatever becomes of it, the audit log's errors apart, into a verdict."""
        journal = self._context.journal
        try:
            with self._release_timeout():
                await self._run_commands()
        except Concluded as conclusion:
            return conclusion.verdict
        except Stopped as error:
            return stopped(error.stop)
        except EngineUnreachable as error:
            return failed(Cause.ENGINE_LOST, str(error), journal.running)
        except EngineError as error:
            return failed(Cause.CONTAINER_FAILED, str(error), journal.running)
        except ApplicationError:
            raise
        except Exception as error:
            logger.exception("unexpected error")
            # Its type only: the text of an unknown error may hold anything.
            message = f"an unexpected error of the daemon, {type(error).__name__}: see its log"
            return failed(Cause.INTERRUPTED, message, journal.running)
        finally:
            self._context.switch.close()
        return SUCCEEDED

    async def _run_commands(self) -> None:
        context = self._context
        preparation = Preparation(context)
        image = await preparation.resolve_image(self._secrets)
        nonce = random.token_hex(16)
        # Before anything of it is in the engine, it is on the disk that the release left the queue.
        await context.journal.noted()
        await self._create_container(image, nonce)
        async with (
            context.engine.attach(self._container_id) as attachment,
            Session.opened(attachment, nonce, context.recorder) as session,
        ):
            await self._start_container()
            await preparation.await_supervisor(session, self._container_id, image)
            context.journal.enter(ReleaseState.RUNNING)
            runner = CommandRunner(context, session, self._container_id)
            for index, command in enumerate(context.spec.commands):
                await runner.run(index, command)
        # A stop that was accepted counts, also behind the last command.
        context.switch.check()

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
        self._container_possible = True
        with refused_container():
            self._container_id = await context.engine.create_container(name, config)
            context.journal.note(
                ContainerCreated(container_id=self._container_id, container_name=name),
            )
            for network in spec.networks[1:]:
                await context.engine.connect_network(network, self._container_id)

    async def _start_container(self) -> None:
        self._context.switch.check()
        with refused_container():
            await self._context.engine.start_container(self._container_id)
        self._context.journal.note(ContainerStarted(container_id=self._container_id))

    async def _remove_container(self) -> list[ContainerRemoved]:
        if not self._container_possible:
            return []
        return await remove_containers(self._context.engine, self._context.release_id, self._container_id)

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
