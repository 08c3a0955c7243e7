"""All commands of a release in one container, whose supervisor lets them go one by one."""

from released.crash import CrashPoint, crash_point
from released.engine.engine import FoundContainer
from released.model.states import ReleaseState
from released.release.commands import CommandRunner
from released.release.containers import Containers
from released.release.context import ReleaseContext
from released.release.preparation import Preparation
from released.release.session import Session
from released.release.sessions import opened_session
from released.release.standing import Standing, check_can_begin


class SupervisedCommands:
    """Runs a release's commands in one container, from wherever they stand."""

    def __init__(self, context: ReleaseContext, containers: Containers) -> None:
        self._context = context
        self._containers = containers
        self._preparation = Preparation(context)

    async def run(self, standing: Standing) -> None:
        """Run the commands that are left; raise Concluded unless the release goes on behind them."""
        # Not guarded by the switch: a command that runs is stopped in order, and has its grace.
        found = await self._containers.find() if standing.resumed else {}
        container = found.get(None)
        if container is None:
            check_can_begin(standing)
            container = await self._containers.create()
        async with opened_session(self._context, container, standing) as session:
            if not container.started:
                await self._containers.start(container)
            await self._run_commands(session, container, standing)

    async def _run_commands(self, session: Session, container: FoundContainer, standing: Standing) -> None:
        context = self._context
        if context.journal.state is ReleaseState.PREPARING:
            await self._preparation.await_supervisor(session, container.container_id)
            context.journal.enter(ReleaseState.RUNNING)
        crash_point(CrashPoint.CONTAINER_READY)
        runner = CommandRunner(context, session, container)
        for index, command in enumerate(context.journal.commands):
            if index not in standing.finished:
                await runner.run(index, command, standing.running_at(index))
