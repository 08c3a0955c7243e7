"""How far a release has got, by what is recorded of it: what whoever goes on with it has to know."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from signal import Signals

from released.model.events import (
    CancelRequested,
    CommandFinished,
    CommandSlow,
    CommandsResolved,
    CommandStarted,
    ContainerCreated,
    Event,
    ImageResolved,
    SignalSent,
    StateChanged,
)
from released.model.instant import Instant
from released.model.release import Command
from released.model.states import Cause, CommandState, ReleaseState
from released.release.verdict import Concluded, Verdict, command_state, failed, stopped_for


@dataclass(frozen=True, slots=True)
class Since:
    """A recorded moment: by the clock that nobody sets, or else by the wall's."""

    at: Instant | None
    time: datetime

    def elapsed(self) -> timedelta:
        """The time since then."""
        elapsed = self.at.elapsed() if self.at else None
        # The wall's clock may have been set back.
        return elapsed if elapsed is not None else max(timedelta(), datetime.now(UTC) - self.time)


@dataclass(frozen=True, slots=True)
class Stopping:
    """A command is being stopped: why, and since when. No cause: the release was cancelled."""

    cause: Cause | None
    reason: str
    since: Since
    killed: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """A command that was let go, or was about to be, and whose end is not recorded."""

    index: int
    since: Since
    stopping: Stopping | None = None
    slow: CommandSlow | None = None
    """What was told when it had taken much longer than usual."""


@dataclass(slots=True)
class Standing:
    """What is recorded of a release; of a new one, nothing."""

    resumed: bool = False
    began: Since | None = None
    image_id: str = ""
    commands_known: bool = False
    """Whether it was said which commands the release runs."""
    container_created: bool = False
    cancelled: bool = False
    finished: dict[int, CommandFinished] = field(default_factory=dict)
    running: Running | None = None

    def running_at(self, index: int) -> Running | None:
        """The command of this index, if it is the one that was let go."""
        return self.running if self.running and self.running.index == index else None

    @property
    def has_run(self) -> bool:
        """Whether a command was let go, or was about to be."""
        ended = any(finished.state is not CommandState.SKIPPED for finished in self.finished.values())
        return ended or self.running is not None

    def failure_among(self, commands: Sequence[Command]) -> CommandFinished | None:
        """The command that has failed the release, if one did: only the end remains to be recorded."""
        failed = (each for each in self.finished.values() if each.state is CommandState.FAILED)
        return next((each for each in failed if fails_release(each, commands[each.command_index])), None)


def fails_release(finished: CommandFinished, command: Command) -> bool:
    """Whether a release can't go on behind a command. What may fail may not be stopped by somebody else."""
    is_allowed = command.allow_failure and not finished.stopped
    return finished.state is CommandState.FAILED and not is_allowed


def check_can_begin(standing: Standing) -> None:
    """Raise Concluded if a release whose container is not there has had one: nothing runs twice."""
    if standing.has_run:
        raise Concluded(gone(standing.running))
    if standing.container_created:
        raise Concluded(failed(Cause.CONTAINER_FAILED, "the container was removed by somebody else"))


def gone(running: Running | None) -> Verdict:
    """The verdict on a release whose container is gone while commands were being run."""
    if running is None:
        return failed(Cause.CONTAINER_FAILED, "the container was removed by somebody else")
    if running.stopping is None:
        message = (
            "the container is gone, and how the command ended was not seen: find out before you run it again"
        )
        return failed(Cause.CONTAINER_FAILED, message, running.index)
    signal = Signals.SIGKILL if running.stopping.killed else Signals.SIGTERM
    finished = CommandFinished(
        command_index=running.index,
        state=command_state(running.stopping.cause),
        signal=signal,
        end_time=datetime.now(UTC),
    )
    return stopped_for(running.stopping.cause, running.stopping.reason, finished)


def standing_by(events: Iterable[Event]) -> Standing:
    """Add up the events of a release under way."""
    standing = Standing(resumed=True)
    for event in events:
        _add(standing, event)
    return standing


def _add(standing: Standing, event: Event) -> None:
    match event.body:
        case StateChanged(state=ReleaseState.PREPARING, at=at):
            standing.began = Since(at, event.time)
        case ImageResolved(image_id=image_id):
            standing.image_id = image_id
        case CommandsResolved():
            standing.commands_known = True
        case ContainerCreated():
            standing.container_created = True
        case CancelRequested():
            standing.cancelled = True
        case CommandStarted(command_index=index, at=at):
            standing.running = Running(index, Since(at, event.time))
        case CommandSlow() as slow if standing.running:
            standing.running = replace(standing.running, slow=slow)
        case CommandFinished() as finished:
            standing.finished[finished.command_index] = finished
            standing.running = None
        case SignalSent() as sent if standing.running:
            standing.running = _stopping(standing.running, sent, event.time)


def _stopping(running: Running, sent: SignalSent, time: datetime) -> Running:
    killed = sent.signal == Signals.SIGKILL
    if running.stopping and not killed:
        return running
    # A kill gives no reason of its own: it ends the grace of the signal before.
    first = running.stopping or Stopping(sent.cause, sent.reason, Since(sent.at, time))
    stopping = Stopping(first.cause, first.reason, first.since, killed)
    return replace(running, stopping=stopping)
