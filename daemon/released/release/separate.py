"""Each command of a release in a container of its own: for images without a shell."""

from datetime import datetime

from released.crash import CrashPoint, crash_point
from released.engine.engine import ContainerState, FoundContainer
from released.engine.errors import EngineUnreachable
from released.model.states import Cause, ReleaseState
from released.release.commands import CommandRunner
from released.release.containers import Containers
from released.release.context import ReleaseContext
from released.release.endings import REMOVED, SETTLING_TIME
from released.release.session import CommandEnd, Session
from released.release.sessions import opened_session
from released.release.standing import Standing, gone
from released.release.verdict import Concluded, failed


class SeparateCommands:
    """Runs a release's commands in a container each, from wherever they stand."""

    def __init__(self, context: ReleaseContext, containers: Containers) -> None:
        self._context = context
        self._containers = containers

    async def run(self, standing: Standing) -> None:
        """Run the commands that are left; raise Concluded unless the release goes on behind them."""
        # Not guarded by the switch: a command that runs is stopped in order, and has its grace.
        found = await self._containers.find() if standing.resumed else {}
        for index in range(len(self._context.journal.commands)):
            container = found.get(index)
            if index not in standing.finished:
                await self._run_one(index, container, standing)
            elif container:
                await self._containers.remove(container)

    async def _run_one(self, index: int, container: FoundContainer | None, standing: Standing) -> None:
        context = self._context
        running = standing.running_at(index)
        if container is None and running:
            raise Concluded(gone(running))
        if container is None:
            container = await self._containers.create(index)
        if context.journal.state is ReleaseState.PREPARING:
            context.journal.enter(ReleaseState.RUNNING)
        crash_point(CrashPoint.CONTAINER_READY)
        async with opened_session(context, container, standing) as session:
            command = LoneCommand(context, self._containers, container, session, standing.resumed)
            runner = CommandRunner(context, command, container)
            await runner.run(index, context.journal.commands[index], running)
        # The container is the evidence for how its command ended: it may go once that is on the disk.
        await context.journal.noted()
        await self._containers.remove(container)


class LoneCommand:
    """A command without a supervisor: its gate is the start of its container, its end is the container's."""

    def __init__(
        self,
        context: ReleaseContext,
        containers: Containers,
        container: FoundContainer,
        session: Session,
        resumed: bool,
    ) -> None:
        self._engine = context.engine
        self._containers = containers
        self._container = container
        self._session = session
        self._resumed = resumed
        self._end: CommandEnd | None = None

    async def open_gate(self, command_index: int) -> None:
        """Start the container. One that was started is left as it is."""
        await self._containers.start(self._container)

    def has_started(self, command_index: int) -> bool:
        """Whether the container was ever started."""
        return self._container.started

    def known_end(self, command_index: int) -> CommandEnd | None:
        """The end of a command that ended while nobody was attached."""
        return self._end

    async def caught_up(self) -> None:
        """Wait until all is known that happened before the session."""
        await self._session.caught_up()
        if self._container.started and not self._container.running:
            self._end = await self.end_of(self._container.command_index or 0)

    async def end_of(self, command_index: int) -> CommandEnd | None:
        """Wait for the end of the container, and of its output."""
        await self._session.finished()
        state = await self._engine.inspect_ended(self._container.container_id, SETTLING_TIME)
        if state is None:
            raise Concluded(failed(Cause.CONTAINER_FAILED, REMOVED, command_index))
        if state.running:
            raise EngineUnreachable("the connection to the container was lost")
        await self._session.ended()
        return await self._judged(state, command_index)

    async def ended(self) -> None:
        """Wait for the end of the streams of a container that has ended, but not for ever."""
        await self._session.ended()

    async def _judged(self, state: ContainerState, command_index: int) -> CommandEnd:
        """Believe the engine's exit code only if it was there all the time."""
        was_seen = self._container.running or not self._container.started
        signalled = await self._engine.was_signalled(self._container.container_id, was_seen)
        if signalled is None and self._resumed:
            message = (
                "the container ended while nobody was attached, and the engine can't tell how any more: "
                "find out what the command did before you run it again"
            )
            raise Concluded(failed(Cause.INTERRUPTED, message, command_index))
        time = datetime.fromisoformat(state.finish_time) if self._resumed else None
        return CommandEnd(state.exit_code, bool(signalled), time)
