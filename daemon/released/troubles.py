"""What is stuck: where the parts of the daemon say which release can't get on, and why."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple


class Trouble(NamedTuple):
    """Why a release can't get on, for a person, and since when it can't."""

    text: str
    since: datetime


def _now() -> datetime:
    return datetime.now(UTC)


class Troubles:
    """The troubles of releases under way, one each at most. For the status only: nothing depends on it."""

    def __init__(self, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._troubles: dict[str, Trouble] = {}

    def report(self, release_id: str, text: str) -> None:
        """Say that a release can't get on. Said again, it has its newest reason, and its first time."""
        before = self._troubles.get(release_id)
        self._troubles[release_id] = Trouble(text, before.since if before else self._now())

    def clear(self, release_id: str) -> None:
        """Say that a release gets on again, or has ended. There need not have been any trouble."""
        self._troubles.pop(release_id, None)

    def of(self, release_id: str) -> Trouble | None:
        """Return what keeps a release from getting on."""
        return self._troubles.get(release_id)
