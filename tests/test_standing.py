"""How far a release has got, added up from the events that are recorded of it."""

import time
from datetime import UTC, datetime, timedelta
from signal import Signals

import msgspec
import pytest

from released.model import instant
from released.model.events import (
    Body,
    CancelRequested,
    CommandFinished,
    CommandOutput,
    CommandSlow,
    CommandStarted,
    ContainerCreated,
    Event,
    ReleaseAdopted,
    SignalSent,
    StateChanged,
)
from released.model.instant import Instant
from released.model.states import Cause, CommandState, ReleaseState, Stream
from released.release.standing import Running, Since, Standing, Stopping, check_can_begin, gone, standing_by
from released.release.verdict import Concluded
from support.samples import a_command, a_spec

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AT = Instant("boot", 100.0)
PREPARING = StateChanged(state=ReleaseState.PREPARING, at=AT)
CREATED = ContainerCreated(container_id="c", container_name="n")


def stood(*bodies: Body) -> Standing:
    """The standing after these events, one every second from noon on."""
    return standing_by(
        Event(number, "release", NOON + timedelta(seconds=number), body, None, b"")
        for number, body in enumerate(bodies)
    )


def since(second: int, at: Instant | None = AT) -> Since:
    return Since(at, NOON + timedelta(seconds=second))


def started(index: int) -> CommandStarted:
    return CommandStarted(command_index=index, at=AT)


def finished(index: int, state: CommandState = CommandState.SUCCEEDED) -> CommandFinished:
    return CommandFinished(command_index=index, state=state, exit_code=0)


def signal(
    number: Signals, cause: Cause | None = Cause.COMMAND_TIMED_OUT, reason: str = "late"
) -> SignalSent:
    return SignalSent(command_index=0, signal=number, reason=reason, cause=cause, at=AT)


TERM, KILL = signal(Signals.SIGTERM), signal(Signals.SIGKILL, reason="it did not report its end")


def test_new_release_has_no_standing() -> None:
    """It is not one that is resumed, either."""
    assert Standing() == Standing(resumed=False, began=None, container_created=False, cancelled=False)


def test_queued_release_has_not_begun() -> None:
    """Its standing is that of somebody who comes back, though."""
    assert stood(StateChanged(state=ReleaseState.QUEUED)) == Standing(resumed=True)


def test_release_begins_when_it_leaves_the_queue() -> None:
    """Its own timeout counts from then, and not from when it runs."""
    standing = stood(PREPARING, CREATED, StateChanged(state=ReleaseState.RUNNING))
    assert standing == Standing(resumed=True, began=since(0), container_created=True)


def test_slow_command_stays_slow_while_it_runs() -> None:
    """Also while it is stopped; whoever goes on with it does not tell it again."""
    slow = CommandSlow(command_index=0, median=timedelta(seconds=1), run_count=5)
    assert stood(started(0), slow).running == Running(0, since(0), slow=slow)
    stopping = Stopping(Cause.COMMAND_TIMED_OUT, "late", since(2))
    assert stood(started(0), slow, TERM).running == Running(0, since(0), stopping, slow)
    assert stood(started(0), slow, finished(0), started(1)).running == Running(1, since(3))


def test_command_runs_from_its_start_to_its_end() -> None:
    """Whatever it wrote, and whoever took it up, in between."""
    output = CommandOutput(stream=Stream.STDOUT, command_index=0)
    standing = stood(PREPARING, started(0), output, ReleaseAdopted())
    assert standing.running == Running(0, since(1))
    assert (standing.running_at(0), standing.running_at(1)) == (standing.running, None)
    standing = stood(PREPARING, started(0), finished(0), started(1))
    assert standing.finished == {0: finished(0)}
    assert (standing.running_at(0), standing.running_at(1)) == (None, Running(1, since(3)))
    assert stood(started(0), finished(0)).running is None


def test_failed_command_is_known() -> None:
    """Only the end of the release remains to be recorded; skipped ones are no failures."""
    failure = finished(1, CommandState.FAILED)
    standing = stood(started(0), finished(0), started(1), failure, finished(2, CommandState.SKIPPED))
    commands = a_spec("a", "b", "c").commands
    assert standing.failure_among(commands) == failure
    assert stood(started(0), finished(0)).failure_among(commands) is None


def test_failure_that_is_allowed_fails_nothing() -> None:
    """The release goes on behind it, also after a restart of the daemon."""
    standing = stood(started(0), finished(0, CommandState.FAILED))
    assert standing.failure_among((a_command(allow_failure=True),)) is None


def test_stop_by_somebody_else_fails_what_may_fail() -> None:
    """Whatever its exit code: what follows was not to be run, either."""
    stopped = msgspec.structs.replace(finished(0, CommandState.FAILED), stopped=True)
    assert stood(started(0), stopped).failure_among((a_command(allow_failure=True),)) == stopped


def test_skipped_commands_have_not_run() -> None:
    """A release of which nothing else is known may still begin."""
    assert not stood(finished(0, CommandState.SKIPPED)).has_run
    assert stood(finished(0, CommandState.SKIPPED), started(1)).has_run
    assert stood(finished(0, CommandState.SKIPPED), started(1), finished(1)).has_run


def test_cancel_is_known() -> None:
    """Also before anything has begun."""
    assert stood(CancelRequested()).cancelled
    assert not stood(PREPARING).cancelled


@pytest.mark.parametrize(
    ("sent", "stopping"),
    [
        pytest.param([], None, id="nothing"),
        pytest.param([TERM], Stopping(Cause.COMMAND_TIMED_OUT, "late", since(1)), id="term"),
        pytest.param([TERM, TERM], Stopping(Cause.COMMAND_TIMED_OUT, "late", since(1)), id="term twice"),
        pytest.param(
            [TERM, KILL], Stopping(Cause.COMMAND_TIMED_OUT, "late", since(1), killed=True), id="term and kill"
        ),
        pytest.param(
            [TERM, KILL, TERM],
            Stopping(Cause.COMMAND_TIMED_OUT, "late", since(1), killed=True),
            id="a kill is not taken back",
        ),
        pytest.param(
            [signal(Signals.SIGKILL, None, "cancelled")],
            Stopping(None, "cancelled", since(1), killed=True),
            id="no grace",
        ),
        pytest.param(
            [signal(Signals.SIGTERM, None, "cancelled"), TERM],
            Stopping(None, "cancelled", since(1)),
            id="the first reason",
        ),
    ],
)
def test_stopping_is_as_its_first_signal_says(sent: list[SignalSent], stopping: Stopping | None) -> None:
    """Its reason, and the start of the grace; a kill ends that and gives no reason of its own."""
    assert stood(started(0), *sent).running == Running(0, since(0), stopping)


def test_signal_of_a_command_that_has_ended_is_past() -> None:
    """It ended together with the signal: the next command is not being stopped."""
    assert stood(started(0), finished(0), TERM).running is None
    assert stood(started(0), TERM, finished(0), started(1)).running == Running(1, since(3))


@pytest.mark.parametrize(
    ("bodies", "message", "index"),
    [
        pytest.param([PREPARING, CREATED], "was removed by somebody else", None, id="before a command"),
        pytest.param([PREPARING, started(0)], "how the command ended was not seen", 0, id="in a command"),
        pytest.param(
            [PREPARING, started(0), finished(0)], "was removed by somebody else", None, id="after a command"
        ),
    ],
)
def test_release_that_had_a_container_gets_no_other(
    bodies: list[Body], message: str, index: int | None
) -> None:
    """What ran in it would run twice."""
    with pytest.raises(Concluded) as concluded:
        check_can_begin(stood(*bodies))
    failure = concluded.value.verdict.failure
    assert failure is not None
    assert (failure.cause, failure.command_index) == (Cause.CONTAINER_FAILED, index)
    assert message in failure.message


@pytest.mark.parametrize("bodies", [[], [PREPARING], [PREPARING, CancelRequested()]])
def test_release_without_a_container_can_begin(bodies: list[Body]) -> None:
    """Nothing of it has run."""
    check_can_begin(stood(*bodies))
    check_can_begin(Standing())


@pytest.mark.parametrize(
    ("cause", "state", "command"),
    [
        (Cause.COMMAND_TIMED_OUT, ReleaseState.FAILED, CommandState.TIMED_OUT),
        (Cause.RELEASE_TIMED_OUT, ReleaseState.FAILED, CommandState.TIMED_OUT),
        (None, ReleaseState.CANCELLED, CommandState.CANCELLED),
    ],
)
@pytest.mark.parametrize(("sent", "ended_by"), [([], Signals.SIGTERM), ([KILL], Signals.SIGKILL)])
def test_container_that_went_while_it_was_stopped_was_stopped(
    sent: list[SignalSent],
    ended_by: Signals,
    cause: Cause | None,
    state: ReleaseState,
    command: CommandState,
) -> None:
    """For the reason for which it was; the last signal is the one that ended it."""
    verdict = gone(stood(started(0), signal(Signals.SIGTERM, cause), *sent).running)
    assert verdict.state is state
    assert (verdict.failure.cause if verdict.failure else None) == cause
    assert verdict.stopped_command is not None
    assert (verdict.stopped_command.state, verdict.stopped_command.signal) == (command, ended_by)
    assert verdict.stopped_command.exit_code is None


def test_time_since_counts_by_the_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wall's may be an hour off."""
    monkeypatch.setattr(instant, "_boot_id", lambda: "boot")
    monkeypatch.setattr(time, "clock_gettime", lambda _: 107.5)
    hour_ahead = datetime.now(UTC) + timedelta(hours=1)
    assert Since(AT, hour_ahead).elapsed() == timedelta(seconds=7.5)


@pytest.mark.parametrize("at", [None, Instant("another boot", 1e9)])
def test_time_since_another_boot_counts_by_the_wall(at: Instant | None) -> None:
    """There is nothing else to go by; so it is for events of an older daemon."""
    before = datetime.now(UTC)
    elapsed = Since(at, before - timedelta(hours=2)).elapsed()
    assert timedelta(hours=2) <= elapsed <= timedelta(hours=2) + (datetime.now(UTC) - before)
