"""One release, from leaving the queue to its recorded result."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from signal import Signals

from released.crash import CrashPoint, crash_point
from released.engine.errors import EngineError, EngineUnreachable
from released.errors import ApplicationError
from released.model.events import CommandFinished, EngineReconnected, ReleaseAdopted
from released.model.release import Secrets
from released.model.states import Cause, ContainerMode, ReleaseState
from released.release.commands import explain_failure
from released.release.containers import Containers
from released.release.context import ReleaseContext
from released.release.pace import SlowCommand
from released.release.resolver import CommandResolver
from released.release.separate import SeparateCommands
from released.release.standing import Standing, standing_by
from released.release.stopping import Stopped
from released.release.supervised import SupervisedCommands
from released.release.verdict import (
    SUCCEEDED,
    Concluded,
    Stop,
    Verdict,
    command_state,
    failed,
    stopped,
    stopped_for,
    with_remark,
)

logger = logging.getLogger(__name__)

ENGINE_PATIENCE = 10.0
"""Seconds that the removal gets before the loss of an engine is reported."""

STILL_THERE = "Its container may still run; it is removed when the engine is back."


class ReleaseRun:
    """Runs one release's commands in a container of its image, then discards the container.

    Two lifetimes: the work, which `stop` ends early, and the clean-up, which it does not. The
    work goes on where the audit log says that it stands: after a restart of the daemon, and
    whenever the engine was away.
    """

    def __init__(self, context: ReleaseContext, secrets: Secrets | None) -> None:
        """No secrets: they are lost, and nothing can be started that needs them."""
        self._context = context
        self._containers = Containers(context, secrets)
        self._resolver = CommandResolver(context, self._containers)
        separate = context.spec.container_mode is ContainerMode.PER_COMMAND
        commands = SeparateCommands if separate else SupervisedCommands
        self._commands = commands(context, self._containers)

    @property
    def stopped(self) -> Stop | None:
        """Why the work was stopped, if it was."""
        return self._context.switch.stopped

    @property
    def slow_command(self) -> SlowCommand | None:
        """The command under way, if it takes much longer than usual."""
        return self._context.pace.slow

    def masked(self, text: str) -> str:
        """Take the release's secrets out of somebody's words."""
        return self._context.masking.text(text)

    def stop(self, stop: Stop) -> bool:
        """Stop the work, and return whether that will be so: it may have ended, or been stopped before.

        The release ends when its command has ended and its container is gone.
        """
        return self._context.switch.stop(stop)

    async def run(self) -> None:
        """Run the release to its recorded end, however long the engine or the log are away meanwhile.

        Cancelled, it leaves everything as it is, for the next start of the daemon.
        """
        # Before anything of the release is told, in the daemon's log, too.
        await self._context.masking.make_ready()
        verdict = await self._work()
        if verdict.failure and verdict.failure.cause is Cause.ENGINE_LOST:
            await self._report_loss(verdict)
        else:
            # Removed, then reported: whoever reads the result may rely on it that nothing runs on.
            removed = await self._containers.remove_all()
            await self._context.journal.conclude_at_last(verdict, *removed)

    async def _report_loss(self, verdict: Verdict) -> None:
        """Report a lost engine without waiting for it; the lane stays taken until the container is gone."""
        removal = asyncio.create_task(self._containers.remove_all())
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
        try:
            verdict = await self._verdict()
            # The container is the evidence for what it did: it may go once that is on the disk.
            await self._all_durable()
        except ApplicationError as error:
            logger.error("stopping the release: %s", error)
            return failed(Cause.INTERRUPTED, f"what the release did could not be recorded: {error}")
        return verdict

    async def _verdict(self) -> Verdict:
        """Do the work and turn whatever becomes of it, the audit log's errors apart, into a verdict."""
        journal = self._context.journal
        try:
            await self._see_through()
        except Concluded as conclusion:
            return conclusion.verdict
        except Stopped as error:
            return self._stopped(error.stop)
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

    def _stopped(self, stop: Stop) -> Verdict:
        """The verdict on a stop while the engine was away, or no command ran: the removal kills what does."""
        running = self._context.journal.running
        if running is None:
            return stopped(stop)
        killed = CommandFinished(
            command_index=running,
            state=command_state(stop.cause),
            signal=Signals.SIGKILL,
            end_time=datetime.now(UTC),
        )
        return stopped_for(stop.cause, stop.value, killed)

    async def _see_through(self) -> None:
        """Run the commands; go on from where they stand whenever the engine was away."""
        context = self._context
        if context.journal.state is ReleaseState.QUEUED:
            context.journal.enter(ReleaseState.PREPARING)
            standing = Standing()
        else:
            standing = await self._recall()
            context.journal.note(ReleaseAdopted())
        with self._release_timeout(standing):
            while True:
                try:
                    await self._go_on(standing)
                    break
                except EngineUnreachable as error:
                    context.troubles.report(context.release_id, f"it waits for the engine: {error}")
                    await context.switch.guard(context.reconnection.wait(error, context.journal.running))
                context.troubles.clear(context.release_id)
                context.journal.note(EngineReconnected())
                # Durable before it is compared with what the engine's log has.
                await self._all_durable()
                standing = await self._recall()
        # A stop that was accepted counts, also behind the last command.
        context.switch.check()

    async def _go_on(self, standing: Standing) -> None:
        context = self._context
        if standing.cancelled:
            self.stop(Stop.CANCELLED)
        if failure := standing.failure_among(context.journal.commands):
            raise Concluded(await explain_failure(context, failure, context.engine_was_away))
        await self._resolver.resolve(standing)
        if len(standing.finished) < len(context.journal.commands):
            # First: another release may be about to mount something from inside of it.
            await self._containers.keep()
            await self._commands.run(standing)
        crash_point(CrashPoint.RESULT_STORED)

    async def _recall(self) -> Standing:
        standing = standing_by(await self._context.query.history(self._context.release_id))
        self._containers.expect(standing.image_id)
        return standing

    async def _all_durable(self) -> None:
        await self._context.recorder.flush()
        await self._context.journal.noted()

    @contextmanager
    def _release_timeout(self, standing: Standing) -> Iterator[None]:
        """Stop the work when the release's time is up, counted from when it left the queue."""
        timeout = self._context.spec.release_timeout
        if timeout is None:
            yield
            return
        left = timeout - (standing.began.elapsed() if standing.began else timedelta())
        loop = asyncio.get_running_loop()
        timer = loop.call_later(max(0.0, left.total_seconds()), self.stop, Stop.RELEASE_TIMED_OUT)
        try:
            yield
        finally:
            timer.cancel()
