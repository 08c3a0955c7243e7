"""Random releases, as plain facts and as a real audit log."""

from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

import msgspec

from released.model.caller import Caller
from released.model.events import Failure, ImageResolved, StateChanged
from released.model.states import Cause, ReleaseState
from support import audit_log
from support.samples import accepted

SECOND = 1_000_000
START = 1_800_000_000 * SECOND

APPLICATIONS = ("shop", "blog", "s")
ENVIRONMENTS = ("live", "test")
USERS = {"": 0, "ci": 1000, "deploy": 1001, "1000x": 7}
REQUESTERS = ("", "jenkins", "Jo", "a*b", "é[1]")
IMAGES = ("shop:1", "shop:*", "reg:5000/shop:1", "blog:[1]", "blog?", "\U0010ffff")
DIGESTS = ("", "reg/shop@sha256:3f3f", "blog@sha256:3f3f", "blog@sha256:aa")
VALUES = ("", "a", "b", "a*", "é")
CAUSES = (Cause.COMMAND_FAILED, Cause.OUT_OF_MEMORY)
OUTCOMES = (None, "DEPLOYED", "ABANDONED")


@dataclass
class Fact:
    """What is known of a release, apart from any database."""

    sequence: int = 0
    application: str = ""
    environment: str = ""
    user: str = ""
    uid: int = 0
    requested_by: str = ""
    image: str = ""
    digest: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    state: str = "QUEUED"
    cause: str | None = None
    outcome: str | None = None
    create_time: int = 0
    start_time: int | None = None
    end_time: int | None = None

    @property
    def duration(self) -> int | None:
        if self.start_time is None or self.end_time is None:
            return None
        return self.end_time - self.start_time


def random_fact(random: Random) -> Fact:
    """Return one release; of some, several were created at the same moment."""
    fact = Fact(
        application=random.choice(APPLICATIONS),
        environment=random.choice(ENVIRONMENTS),
        user=random.choice(list(USERS)),
        requested_by=random.choice(REQUESTERS),
        image=random.choice(IMAGES),
        labels={key: random.choice(VALUES) for key in ("team", "a b") if random.random() < 0.5},
        create_time=START + random.randrange(20) * SECOND,
    )
    fact.uid = USERS[fact.user]
    if random.random() < 0.9:
        fact.start_time = fact.create_time + random.randrange(5) * SECOND
        fact.state, fact.digest = "PREPARING", random.choice(DIGESTS)
    if random.random() < 0.9:
        fact.end_time = fact.create_time + (5 + random.randrange(5)) * SECOND
        fact.state = random.choice(["FAILED", "CANCELLED", "SUCCEEDED"])
        fact.outcome = random.choice(OUTCOMES)
    if fact.state == "FAILED":
        fact.cause = random.choice(CAUSES)
    return fact


async def record(path: Path, facts: list[Fact]) -> None:
    """Write releases by the real writer."""
    async with audit_log.opened(path) as audit:
        for number, fact in enumerate(facts):

            async def append(time: int | None, body: Any, release_id: str = f"release {number}") -> None:
                with patch("time.time_ns", return_value=(time or 0) * 1000):
                    fact.sequence = fact.sequence or audit.head.sequence + 1  # noqa: B023 - awaited here
                    await audit.append(release_id, body)

            caller = Caller(uid=fact.uid, gid=0, pid=1, user=fact.user)
            names = ("application", "environment", "requested_by", "image", "labels")
            event = accepted("true", **{name: getattr(fact, name) for name in names})
            await append(fact.create_time, msgspec.structs.replace(event, caller=caller))
            if fact.start_time is not None:
                await append(fact.start_time, StateChanged(state=ReleaseState.PREPARING))
                await append(fact.start_time, ImageResolved(image_id="i", image_digest=fact.digest))
            if fact.end_time is not None:
                failure = fact.cause and Failure(cause=Cause(fact.cause), message="it failed")
                end = StateChanged(state=ReleaseState(fact.state), failure=failure or None)
                await append(fact.end_time, end)
