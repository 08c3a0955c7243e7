"""Which release starts next: a lane for each deployment target, and a limit over all of them.

Releases of one lane never overlap and start in the order in which they arrived. Lanes
run side by side, up to a limit; when it is reached, whoever arrived first starts first.

Every method is synchronous, changes all of the state it has to, and returns the releases
that are to be started now. Nothing else holds queue state.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from released.model.release import Target


@dataclass(slots=True)
class _Entry:
    """A release in its lane."""

    arrival: int
    release_id: str
    target: Target
    confirmed: bool = False


@dataclass(slots=True)
class _Lane:
    """The releases of one target: at most one under way, the others in the order of arrival.

    More than one only if several were resumed: the end of one could not be recorded, say.
    """

    running: list[_Entry] = field(default_factory=list)
    waiting: deque[_Entry] = field(default_factory=deque)


class LaneView(NamedTuple):
    """What a lane holds, for whoever wants to see it."""

    target: Target
    running: tuple[str, ...]
    waiting: tuple[str, ...]


class Scheduler:
    """The lanes. A release is in one from `reserve` (or `resume`) to `leave`."""

    def __init__(self, max_concurrent: int) -> None:
        self.max_concurrent = max_concurrent
        self._lanes: dict[Target, _Lane] = {}
        self._entries: dict[str, _Entry] = {}
        self._startable: list[tuple[int, str]] = []
        """A heap of confirmed releases at the head of an idle lane; some may have left since."""
        self._open = True
        self._running = 0
        self._arrivals = 0

    @property
    def running(self) -> int:
        """How many releases are under way."""
        return self._running

    def is_busy(self, target: Target) -> bool:
        """Whether a release that arrives now would have to wait for another of its target."""
        return target in self._lanes

    def queued(self, target: Target) -> int:
        """How many releases of a target wait behind the one whose turn it is, started or not."""
        lane = self._lanes.get(target)
        return len(lane.waiting) - (not lane.running) if lane else 0

    def reserve(self, release_id: str, target: Target) -> None:
        """Give a release its place in its lane. It does not start before it is confirmed."""
        self._enter(release_id, target)

    def confirm(self, release_id: str) -> list[str]:
        """Let a release start when its turn comes: it is recorded now."""
        entry = self._entries[release_id]
        entry.confirmed = True
        self._offer_head(self._lanes[entry.target])
        return self._start()

    def hold(self, release_id: str) -> None:
        """Keep a waiting release from starting, until it is confirmed again or leaves."""
        self._entries[release_id].confirmed = False

    def set_open(self, is_open: bool) -> list[str]:
        """Say whether releases may start at all: without an engine, they keep their places."""
        self._open = is_open
        return self._start()

    def set_limit(self, max_concurrent: int) -> list[str]:
        """Set how many may be under way at once. What is under way already stays so."""
        self.max_concurrent = max_concurrent
        return self._start()

    def resume(self, release_id: str, target: Target) -> None:
        """Take in a release that is under way already. The limit does not hold for it."""
        entry = self._enter(release_id, target)
        lane = self._lanes[target]
        lane.waiting.remove(entry)
        lane.running.append(entry)
        self._running += 1

    def leave(self, release_id: str) -> list[str]:
        """Take out a release that ended, or that is to end without having been started."""
        entry = self._entries.pop(release_id)
        lane = self._lanes[entry.target]
        if entry in lane.running:
            lane.running.remove(entry)
            self._running -= 1
        else:
            lane.waiting.remove(entry)
        if not lane.running and not lane.waiting:
            del self._lanes[entry.target]
        self._offer_head(lane)
        return self._start()

    def has(self, release_id: str) -> bool:
        """Whether a release is in its lane, waiting or under way."""
        return release_id in self._entries

    def is_waiting(self, release_id: str) -> bool:
        """Whether a release is in its lane and has not been started."""
        entry = self._entries.get(release_id)
        return entry is not None and entry not in self._lanes[entry.target].running

    def position(self, release_id: str) -> int:
        """The place of a waiting release in its lane, 1 for the next to start; 0 if it does not wait."""
        if not self.is_waiting(release_id):
            return 0
        entry = self._entries[release_id]
        return 1 + self._lanes[entry.target].waiting.index(entry)

    def next_position(self, target: Target) -> int:
        """The place that a release would get that arrives now; 0 if it would start."""
        if (lane := self._lanes.get(target)) is not None:
            return 1 + len(lane.waiting)
        return 0 if self._open and self._running < self.max_concurrent else 1

    def lanes(self) -> Iterator[LaneView]:
        """Yield all lanes that hold a release."""
        for target, lane in self._lanes.items():
            yield LaneView(target, _ids(lane.running), _ids(lane.waiting))

    def _enter(self, release_id: str, target: Target) -> _Entry:
        self._arrivals += 1
        entry = _Entry(self._arrivals, release_id, target)
        self._entries[release_id] = entry
        self._lanes.setdefault(target, _Lane()).waiting.append(entry)
        return entry

    def _offer_head(self, lane: _Lane) -> None:
        """Put the head of an idle lane among those that can start. Twice is as good as once."""
        if not lane.running and lane.waiting and lane.waiting[0].confirmed:
            heapq.heappush(self._startable, (lane.waiting[0].arrival, lane.waiting[0].release_id))

    def _start(self) -> list[str]:
        """Start as many as the limit allows, first come, first served."""
        started = []
        while self._open and self._startable and self._running < self.max_concurrent:
            _, release_id = heapq.heappop(self._startable)
            entry = self._entries.get(release_id)
            if entry is None or not entry.confirmed or self._lanes[entry.target].running:
                continue  # it has left, is held, or was offered twice
            lane = self._lanes[entry.target]
            lane.running.append(lane.waiting.popleft())
            self._running += 1
            started.append(release_id)
        return started


def _ids(entries: Iterable[_Entry]) -> tuple[str, ...]:
    return tuple(entry.release_id for entry in entries)
