"""The events of the audit log: everything that happens to a release is one of these.

The body of an event is the JSON form of its struct; `kind` is its tag. Output bytes
are no part of the body: they are stored beside it as they came.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from released.model.caller import Caller
from released.model.instant import Instant
from released.model.release import Command, ReleaseSpec
from released.model.settings import CommandChange, SettingsCommand
from released.model.states import Cause, CommandState, Outcome, ReleaseState, Stream


class _Body(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind"):
    """What is stored as JSON."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a release failed: a cause for programs, a message for people."""

    cause: Cause
    message: str
    command_index: int | None = None


class ReleaseAccepted(_Body, frozen=True, tag="release_accepted"):
    """A request was accepted.

    `request_digest` tells repeated requests from others; `with_secrets` says that the
    release needs values that are not in the log. Its time in the queue counts from `at`.
    """

    spec: ReleaseSpec
    caller: Caller | None = None
    request_digest: str = ""
    with_secrets: bool = False
    at: Instant | None = None


class StateChanged(_Body, frozen=True, tag="state_changed"):
    """The release reached another state. `at` is there for a deadline that counts from then."""

    state: ReleaseState
    failure: Failure | None = None
    at: Instant | None = None


class ImagePullProgress(_Body, frozen=True, tag="image_pull_progress"):
    """A pull got on."""

    status: str
    layers: int = 0
    layers_done: int = 0
    downloaded_bytes: int = 0
    total_bytes: int = 0


class ImageResolved(_Body, frozen=True, tag="image_resolved"):
    """The image is there. The digest is empty for one that never was in a registry."""

    image_id: str
    image_digest: str = ""
    pulled: bool = False


class CommandsResolved(_Body, frozen=True, tag="commands_resolved"):
    """The image is there, and so it is known which commands the release runs."""

    commands: tuple[Command, ...] = ()


class ContainerCreated(_Body, frozen=True, tag="container_created"):
    """The container was created, by an engine of this version."""

    container_id: str
    container_name: str
    engine_version: str = ""


class ContainerStarted(_Body, frozen=True, tag="container_started"):
    """The container was started."""

    container_id: str


class ContainerRemoved(_Body, frozen=True, tag="container_removed"):
    """The container is gone."""

    container_id: str


class CommandStarted(_Body, frozen=True, tag="command_started"):
    """A command is let go: stored before it is. Its timeout counts from `at`."""

    command_index: int
    at: Instant | None = None


class CommandSlow(_Body, frozen=True, tag="command_slow"):
    """A command has run four times as long as the median of so many of its runs, and goes on."""

    command_index: int
    median: timedelta
    run_count: int


class CommandOutput(_Body, frozen=True, tag="command_output"):
    """The container wrote bytes. No index: outside of every command."""

    stream: Stream
    command_index: int | None = None
    omitted_bytes: int = 0


class CommandFinished(_Body, frozen=True, tag="command_finished"):
    """A command ended, or (SKIPPED) will never run.

    `end_time` is when it was seen to have ended, which may be long before it was recorded.
    """

    command_index: int
    state: CommandState
    exit_code: int | None = None
    signal: int = 0
    end_time: datetime | None = None
    stopped: bool = False
    """Whether somebody else had stopped its container: then it fails the release, also if it may fail."""


class CancelRequested(_Body, frozen=True, tag="cancel_requested"):
    """Somebody asked for the release to be cancelled."""

    reason: str = ""
    caller: Caller | None = None


class OutcomeReported(_Body, frozen=True, tag="outcome_reported"):
    """The deployment has ended, some time after its release: once for each release."""

    outcome: Outcome
    caller: Caller
    reason: str = ""


class SignalSent(_Body, frozen=True, tag="signal_sent"):
    """A signal is sent into the container to end a command; the grace counts from `at`.

    `cause` is what the release will have failed for, None if it was cancelled.
    """

    command_index: int
    signal: int
    reason: str
    cause: Cause | None = None
    at: Instant | None = None


class ReleaseAdopted(_Body, frozen=True, tag="release_adopted"):
    """A daemon that was started again goes on with a release that was under way."""


class EngineReconnected(_Body, frozen=True, tag="engine_reconnected"):
    """The engine had gone away and is back; the release goes on."""


class OutputRealigned(_Body, frozen=True, tag="output_realigned"):
    """The engine's log of a command differs from what was stored of it.

    `missing_bytes` were stored and are not in the engine's log; `altered_bytes` of the
    engine's log stand where something else was stored. What was stored stays.
    """

    stream: Stream
    command_index: int | None = None
    missing_bytes: int = 0
    altered_bytes: int = 0


class OutputLost(_Body, frozen=True, tag="output_lost"):
    """What a command wrote while no daemon was attached is not stored, or in parts.

    It is not in the engine's log any more, or may show secrets which nobody knows any more.
    """

    stream: Stream
    reason: str
    command_index: int | None = None


class DrainBegun(_Body, frozen=True, tag="drain_begun"):
    """Somebody asked the daemon to finish what is under way and end."""

    caller: Caller


class AccessDenied(_Body, frozen=True, tag="access_denied"):
    """A caller was refused what it asked for, so many times."""

    caller: Caller
    method: str
    reason: str
    target: str = ""
    times: int = 1


class ConfigurationReloaded(_Body, frozen=True, tag="configuration_reloaded"):
    """The configuration was read again, and counts from now on.

    `changed` are the keys, as `[table] key`, whose values are others now; those in `at_restart` differ
    from what counts until the daemon is started again.
    """

    changed: tuple[str, ...] = ()
    at_restart: tuple[str, ...] = ()


class ConfigurationRefused(_Body, frozen=True, tag="configuration_refused"):
    """The configuration was read again and can't be used: what was before stays."""

    message: str


class CommandsChanged(_Body, frozen=True, tag="commands_changed"):
    """Somebody changed the commands in an application's settings; `commands` are all of them from now on.

    No caller and no changes: retention says once more what is there, before the event that said so goes;
    `restated_sequence` is that of the change which made it so.
    """

    application: str
    commands: tuple[SettingsCommand, ...]
    caller: Caller | None = None
    changes: tuple[CommandChange, ...] = ()
    restated_sequence: int = 0


class OutputPruned(_Body, frozen=True, tag="output_pruned"):
    """Retention: what containers wrote up to an event is being removed. The events themselves stay.

    `output_bytes` is how much was written there; it takes less room as it is stored.
    """

    through_sequence: int
    output_count: int
    output_bytes: int


class EventsPruned(_Body, frozen=True, tag="events_pruned"):
    """Retention: all events up to one are being removed, with their output, and the releases accepted there.

    `digest` is that event's, in hexadecimal: what the first event behind it is chained to.
    """

    through_sequence: int
    digest: str
    event_count: int
    release_count: int


Body = (
    ReleaseAccepted
    | StateChanged
    | ImagePullProgress
    | ImageResolved
    | CommandsResolved
    | ContainerCreated
    | ContainerStarted
    | ContainerRemoved
    | CommandStarted
    | CommandOutput
    | CommandFinished
    | CancelRequested
    | SignalSent
    | ReleaseAdopted
    | EngineReconnected
    | OutputRealigned
    | OutputLost
    | OutcomeReported
    | CommandSlow
)
"""The body of an event of a release."""

OwnBody = (
    DrainBegun
    | AccessDenied
    | ConfigurationReloaded
    | ConfigurationRefused
    | CommandsChanged
    | OutputPruned
    | EventsPruned
)
"""The body of an event of the daemon itself."""

AnyBody = Body | OwnBody
"""Any event's body."""


RESULTS = (
    CommandFinished,
    CancelRequested,
    SignalSent,
    ContainerRemoved,
    ReleaseAdopted,
    EngineReconnected,
    OutputRealigned,
    OutputLost,
)
"""With the release's end, what is stored also when the disk is full: a reserve is kept for these."""

ROOM_MAKERS = (OutputPruned, EventsPruned)
"""These may take of the reserve, too: what they announce gives more room than they take."""


def tells_result(body: AnyBody) -> bool:
    """Whether an event says how something ended, or was made to end, or that room is made."""
    is_end = isinstance(body, StateChanged) and body.state.is_terminal
    return is_end or isinstance(body, RESULTS + ROOM_MAKERS) or _is_said_once_more(body)


def _is_said_once_more(body: AnyBody) -> bool:
    """Whether an event belongs to one that makes room: it takes the place of one that goes."""
    return isinstance(body, CommandsChanged) and body.caller is None


OWN = ""
"""The release_id of events that are the daemon's own, and no release's."""


class NewEvent(NamedTuple):
    """An event that is to be appended."""

    release_id: str
    body: AnyBody
    output: bytes | None = None


class Event(NamedTuple):
    """An event of the audit log; `time` is in UTC."""

    sequence: int
    release_id: str
    time: datetime
    body: AnyBody
    output: bytes | None
    digest: bytes
    """Its own in the hash chain."""
    pruned_bytes: int = 0
    """How much output it had that retention has removed."""


_encoder = msgspec.json.Encoder(order="sorted")
_decoder: msgspec.json.Decoder[AnyBody] = msgspec.json.Decoder(AnyBody)


def kind_of(body: AnyBody) -> str:
    """The event's kind, as stored."""
    return str(type(body).__struct_config__.tag)


def encode(body: AnyBody) -> str:
    """The event's body, as stored."""
    return _encoder.encode(body).decode()


def decode(text: str) -> AnyBody:
    """The body that was stored as `text`."""
    return _decoder.decode(text)
