"""What happens to releases on a busy host, made up: a number gives the same release each time."""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from released.model.caller import Caller
from released.model.events import (
    Body,
    CommandFinished,
    CommandOutput,
    CommandStarted,
    ContainerCreated,
    ContainerRemoved,
    ContainerStarted,
    Failure,
    ImageResolved,
    ReleaseAccepted,
    StateChanged,
)
from released.model.release import Command, ReleaseSpec
from released.model.states import Cause, CommandState, ReleaseState, Stream

EVENTS_EACH = 20
"""Events of a release on average; of an even number of them, exactly."""
MOST_FURTHER = 4
"""How many more or fewer a single one has."""

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
APART = timedelta(seconds=80)
"""Between two releases: 100,000 are some three months."""

APPLICATIONS = (
    *("shop", "blog", "mail", "wiki", "cart", "search", "media", "stock", "price", "login", "forum", "news"),
    *("chat", "maps", "jobs", "bank", "tax", "fleet", "care", "school", "events", "press", "radio", "lab"),
    "desk",
)
ENVIRONMENTS = ("live", "staging")
CALLERS = tuple(
    Caller(
        uid=1000 + number, gid=100, pid=4711, groups=(24, 100), user=user, executable="/usr/bin/python3.11"
    )
    for number, user in enumerate(
        ("deploy", "ci", "anna", "ben", "carla", "dev", "emil", "fay", "gus", "hana")
    )
)
TEAMS = ("orders", "content", "search", "platform", "payments", "people")
LABELS = ("database migrations", "media headers", "self-test")
LINES = ("python manage.py migrate --noinput", "python manage.py fix_media_headers", "./self-test --quick")

_WORDS = (
    *(
        "Applying",
        "catalogue",
        "prices",
        "OK",
        "checked",
        "rows",
        "in",
        "seconds",
        "INFO",
        "WARNING",
        "cache",
    ),
    *("connected", "to", "database", "header", "updated", "media", "file", "skipped", "unchanged", "index"),
)
_CAUSES = (
    *((Cause.COMMAND_FAILED, "The command ended with exit code 1."),) * 6,
    *((Cause.COMMAND_TIMED_OUT, "The command exceeded its timeout of 30 min."),) * 2,
    (Cause.OUT_OF_MEMORY, "The kernel killed the command: the container was out of memory."),
    (Cause.INTERRUPTED, "The daemon was interrupted."),
)


class Generated(NamedTuple):
    """An event of a release, with the output that belongs to it."""

    release_id: str
    body: Body
    output: bytes = b""


def events_of(number: int) -> Iterator[Generated]:
    """Yield the events of a release, from its acceptance to its end."""
    chance = random.Random(number)  # noqa: S311 - the same each time
    release_id = _release_id(number, chance)
    bodies = list(_bodies(number, chance))
    further = random.Random(number // 2).randint(0, MOST_FURTHER) * (1 if number % 2 else -1)  # noqa: S311
    writing = [place for place, body in enumerate(bodies) if isinstance(body, CommandStarted)]
    outputs = dict.fromkeys(writing, 0)
    for _ in range(EVENTS_EACH + further - len(bodies)):
        outputs[chance.choice(writing)] += 1
    for place, body in enumerate(bodies):
        yield Generated(release_id, body)
        for _ in range(outputs.get(place, 0)):
            yield _output(release_id, body, chance)


def create_time(number: int) -> datetime:
    """Return when a release was accepted, about: what the generator's clock shows then."""
    return BEGIN + number * APART


def _bodies(number: int, chance: random.Random) -> Iterator[Body]:
    """Yield all events but the output."""
    container = f"{chance.getrandbits(256):064x}"
    digest = f"{number // 3:064x}"
    yield _accepted(number, chance)
    yield StateChanged(state=ReleaseState.PREPARING)
    yield ImageResolved(
        image_id=f"sha256:{digest}", image_digest=f"registry.example/app@sha256:{digest}", pulled=True
    )
    yield ContainerCreated(container_id=container, container_name=f"release-{number}")
    yield ContainerStarted(container_id=container)
    yield StateChanged(state=ReleaseState.RUNNING)
    state = chance.choices(
        (ReleaseState.SUCCEEDED, ReleaseState.FAILED, ReleaseState.CANCELLED), (88, 10, 2)
    )[0]
    stopped = len(LABELS) if state is ReleaseState.SUCCEEDED else chance.randrange(len(LABELS))
    for index in range(len(LABELS)):
        if index <= stopped:
            yield CommandStarted(command_index=index)
        yield _finished(index, stopped, state)
    yield ContainerRemoved(container_id=container)
    cause, message = chance.choice(_CAUSES)
    failure = Failure(cause=cause, message=message, command_index=stopped)
    yield StateChanged(state=state, failure=failure if state is ReleaseState.FAILED else None)


def _finished(index: int, stopped: int, state: ReleaseState) -> CommandFinished:
    if index < stopped:
        return CommandFinished(command_index=index, state=CommandState.SUCCEEDED, exit_code=0)
    if index > stopped:
        return CommandFinished(command_index=index, state=CommandState.SKIPPED)
    if state is ReleaseState.CANCELLED:
        return CommandFinished(command_index=index, state=CommandState.CANCELLED, exit_code=143, signal=15)
    return CommandFinished(command_index=index, state=CommandState.FAILED, exit_code=1)


def _accepted(number: int, chance: random.Random) -> ReleaseAccepted:
    # Some applications are deployed much more often than others.
    application = APPLICATIONS[int(len(APPLICATIONS) * chance.random() ** 2)]
    spec = ReleaseSpec(
        application=application,
        environment=chance.choices(ENVIRONMENTS, (1, 3))[0],
        image=f"registry.example/{application}:{number}",
        commands=tuple(
            Command(label=label, line=line, timeout=timedelta(minutes=30))
            for label, line in zip(LABELS, LINES, strict=True)
        ),
        environment_names=("DATABASE_URL", "SECRET_KEY", "STAGE"),
        secret_names=("SECRET_KEY",),
        networks=("backend",),
        request_id=str(uuid.UUID(int=chance.getrandbits(128))),
        requested_by=f"{chance.choice(CALLERS).user}@example.org",
        labels={
            "team": chance.choice(TEAMS),
            "version": f"v{number // 5}",
            "ticket": f"OPS-{chance.randrange(20_000)}",
        },
    )
    return ReleaseAccepted(
        spec=spec, caller=chance.choice(CALLERS), request_digest=f"{chance.getrandbits(256):064x}"
    )


def _output(release_id: str, started: Body, chance: random.Random) -> Generated:
    """Mostly a line or some; now and then as much as one event takes."""
    lines = chance.choices((1, 4, 40, 600), (700, 250, 45, 5))[0]
    stream = Stream.STDERR if chance.random() < 0.1 else Stream.STDOUT
    index = started.command_index if isinstance(started, CommandStarted) else None
    return Generated(release_id, CommandOutput(stream=stream, command_index=index), _lines(lines, chance))


def _lines(count: int, chance: random.Random) -> bytes:
    words = chance.choices(_WORDS, k=8 * count)
    return "".join(
        f"{chance.randrange(10**9):09} {' '.join(words[8 * line : 8 * line + 8])}\n" for line in range(count)
    ).encode()


def _release_id(number: int, chance: random.Random) -> str:
    """Return a UUID of version 7, as the daemon makes them."""
    milliseconds = int(create_time(number).timestamp() * 1000)
    value = milliseconds << 80 | 0x7 << 76 | chance.getrandbits(12) << 64 | 0x2 << 62 | chance.getrandbits(62)
    return str(uuid.UUID(int=value))
