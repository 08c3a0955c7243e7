"""Which release starts next: lanes, lock groups, and a limit over all of them.

Each deployment target has a lane, and a target may be in lock groups. Releases of one lane, or
of one lock group, never overlap and start in the order in which they arrived: a release starts
when it is the first of its lane and of all of its groups, and takes all of them at once. So the
one that arrived first of all that wait can never be kept by another one that waits, and nobody
waits for ever. Apart from that they run side by side, up to a limit; when it is reached, whoever
arrived first starts first.

Every method is synchronous, changes all of the state it has to, and returns the releases
that are to be started now. Nothing else holds queue state.
"""

import heapq
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import NamedTuple

from released.model.release import Target

Lock = Target | str
"""What a release has to itself while it is under way: its target, and each of its lock groups, by name."""


@dataclass(slots=True, eq=False)
class _Entry:
    """A release in its lane and its lock groups."""

    arrival: int
    release_id: str
    target: Target
    locks: tuple[Lock, ...]
    """Its target and its lock groups."""
    confirmed: bool = False
    running: bool = False
    offered: bool = False
    """Whether it is among those that can start."""


@dataclass(slots=True)
class _Queue:
    """The releases of one lock: at most one under way, the others in the order of arrival.

    More than one only if several were resumed: the end of one could not be recorded, say.
    """

    running: dict[str, _Entry] = field(default_factory=dict)
    waiting: OrderedDict[str, _Entry] = field(default_factory=OrderedDict)

    @property
    def first(self) -> _Entry | None:
        """The one that waits and came first; a dict would go through all that have left before it."""
        return next(iter(self.waiting.values()), None)

    @property
    def last(self) -> _Entry | None:
        """The one that waits and came last."""
        return next(reversed(self.waiting.values()), None)

    @property
    def all(self) -> Iterator[_Entry]:
        """All of them, those under way first."""
        yield from self.running.values()
        yield from self.waiting.values()


class LaneView(NamedTuple):
    """What a lane holds, for whoever wants to see it."""

    target: Target
    running: tuple[str, ...]
    waiting: tuple[str, ...]


class Member(NamedTuple):
    """A release in a lock group."""

    release_id: str
    target: Target


class GroupView(NamedTuple):
    """What a lock group holds, for whoever wants to see it."""

    name: str
    running: tuple[Member, ...]
    waiting: tuple[Member, ...]


class Scheduler:
    """The lanes and lock groups. A release is in them from `reserve` (or `resume`) to `leave`."""

    def __init__(self, max_concurrent: int) -> None:
        self.max_concurrent = max_concurrent
        self._queues: dict[Lock, _Queue] = {}
        self._entries: dict[str, _Entry] = {}
        """In the order of arrival."""
        self._startable: list[tuple[int, str]] = []
        """A heap of those that were confirmed and first everywhere when they were offered."""
        self._places: dict[str, int] | None = None
        """The places of all that wait; None when somebody has left one since they were found."""
        self._open = True
        self._running = 0
        self._arrivals = 0

    @property
    def running(self) -> int:
        """How many releases are under way."""
        return self._running

    def is_busy(self, target: Target) -> bool:
        """Whether a release that arrives now would have to wait for another of its target."""
        return target in self._queues

    def holder(self, group: str) -> Member | None:
        """Whom a release of a lock group that arrives now would have to wait for first, if for anybody."""
        if (queue := self._queues.get(group)) is None:
            return None
        entry = next(queue.all)
        return Member(entry.release_id, entry.target)

    def queued(self, target: Target) -> int:
        """How many releases of a target wait behind the one whose turn it is, started or not."""
        lane = self._queues.get(target)
        return len(lane.waiting) - (not lane.running) if lane else 0

    def reserve(self, release_id: str, target: Target, groups: Iterable[str] = ()) -> None:
        """Give a release its place in its lane and lock groups. It does not start before it is confirmed."""
        entry = self._enter(release_id, target, groups)
        if self._places is not None:  # it comes last, and changes nobody else's
            self._places[release_id] = self._place_behind(entry.locks)
        for lock in entry.locks:
            self._queues[lock].waiting[release_id] = entry

    def reserve_behind(self, release_id: str, earlier_id: str, groups: Iterable[str] = ()) -> None:
        """Give a release the place behind one that is under way: before all others in its lane and groups.

        With `groups` that the earlier one is not in, it comes before all others that wait for these, too.
        """
        earlier = self._entries[earlier_id]
        locks = tuple(dict.fromkeys((*earlier.locks, *groups)))
        entry = _Entry(earlier.arrival, release_id, earlier.target, locks)
        self._entries = {release_id: entry, **self._entries}
        self._places = None
        for lock in entry.locks:
            waiting = self._queues.setdefault(lock, _Queue()).waiting
            waiting[release_id] = entry
            waiting.move_to_end(release_id, last=False)

    def confirm(self, release_id: str) -> list[str]:
        """Let a release start when its turn comes: it is recorded now."""
        entry = self._entries[release_id]
        entry.confirmed = True
        self._offer(entry)
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

    def resume(self, release_id: str, target: Target, groups: Iterable[str] = ()) -> None:
        """Take in a release that is under way already. Neither the limit nor others hold it back."""
        self._run(self._enter(release_id, target, groups))

    def leave(self, release_id: str) -> list[str]:
        """Take out a release that ended, or that is to end without having been started."""
        entry = self._entries.pop(release_id)
        self._places = None
        self._running -= entry.running
        for lock in entry.locks:
            queue = self._queues[lock]
            del (queue.running if entry.running else queue.waiting)[release_id]
            if first := queue.first:
                self._offer(first)
            elif not queue.running:
                del self._queues[lock]
        return self._start()

    def has(self, release_id: str) -> bool:
        """Whether a release is in its lane, waiting or under way."""
        return release_id in self._entries

    def is_waiting(self, release_id: str) -> bool:
        """Whether a release is in its lane and has not been started."""
        entry = self._entries.get(release_id)
        return entry is not None and not entry.running

    def position(self, release_id: str) -> int:
        """The place of a waiting release, 1 if none that waits comes before it; 0 if it does not wait.

        It is one more than the highest place before it in its lane and in its lock groups.
        """
        return self._positions()[release_id] if self.is_waiting(release_id) else 0

    def next_position(self, target: Target, groups: Iterable[str] = ()) -> int:
        """The place that a release would get that arrives now; 0 if it would start."""
        locks: tuple[Lock, ...] = (target, *groups)
        if any(lock in self._queues for lock in locks):
            return self._place_behind(locks)
        return 0 if self._open and self._running < self.max_concurrent else 1

    def others(self, target: Target, groups: Iterable[str], known: Collection[str]) -> list[Member]:
        """Return the releases in the lane of a target, then in these groups, that are none of these."""
        locks: tuple[Lock, ...] = (target, *groups)
        queues = (self._queues.get(lock, _Queue()) for lock in locks)
        members = _members(entry for queue in queues for entry in queue.all)
        return [member for member in dict.fromkeys(members) if member.release_id not in known]

    def unconfirmed_before(self, release_id: str) -> list[str]:
        """Return the releases before one that waits in its lane that are not confirmed (or not any more)."""
        waiting = self._queues[self._entries[release_id].target].waiting
        before = takewhile(lambda each: each != release_id, waiting)
        return [each for each in before if not waiting[each].confirmed]

    def lanes(self) -> Iterator[LaneView]:
        """Yield all lanes that hold a release."""
        for target, lane in self._queues.items():
            if isinstance(target, Target):
                yield LaneView(target, tuple(lane.running), tuple(lane.waiting))

    def groups(self) -> Iterator[GroupView]:
        """Yield all lock groups that hold a release."""
        for name, group in self._queues.items():
            if isinstance(name, str):
                yield GroupView(name, _members(group.running.values()), _members(group.waiting.values()))

    def _enter(self, release_id: str, target: Target, groups: Iterable[str]) -> _Entry:
        self._arrivals += 1
        entry = _Entry(self._arrivals, release_id, target, (target, *groups))
        self._entries[release_id] = entry
        for lock in entry.locks:
            self._queues.setdefault(lock, _Queue())
        return entry

    def _is_next(self, entry: _Entry) -> bool:
        """Whether it is confirmed, and the first of its lane and all of its groups, with nobody under way."""
        queues = (self._queues[lock] for lock in entry.locks)
        return entry.confirmed and all(not queue.running and queue.first is entry for queue in queues)

    def _offer(self, entry: _Entry) -> None:
        """Put a release among those that can start, if it can. Twice is as good as once."""
        if not entry.offered and self._is_next(entry):
            entry.offered = True
            heapq.heappush(self._startable, (entry.arrival, entry.release_id))

    def _start(self) -> list[str]:
        """Start as many as the limit allows, first come, first served."""
        started = []
        while self._open and self._startable and self._running < self.max_concurrent:
            _, release_id = heapq.heappop(self._startable)
            if (entry := self._entries.get(release_id)) is None:
                continue  # it has left
            entry.offered = False
            if not self._is_next(entry):
                continue  # it is held, or has to wait for one that was resumed
            for lock in entry.locks:
                del self._queues[lock].waiting[release_id]
            self._run(entry)
            started.append(release_id)
        return started

    def _run(self, entry: _Entry) -> None:
        """Have a release take its lane and all of its groups, at once."""
        entry.running = True
        self._running += 1
        self._places = None
        for lock in entry.locks:
            self._queues[lock].running[entry.release_id] = entry

    def _place_behind(self, locks: Iterable[Lock]) -> int:
        """The place of a release that comes after all that wait now for one of these."""
        last = [entry for lock in locks if (queue := self._queues.get(lock)) and (entry := queue.last)]
        return 1 + max((self.position(entry.release_id) for entry in last), default=0)

    def _positions(self) -> dict[str, int]:
        """The places of all that wait, each found once: a page of a history asks for many."""
        if self._places is None:
            self._places = {}
            highest: dict[Lock, int] = {}
            for entry in self._entries.values():
                if not entry.running:
                    place = 1 + max(highest.get(lock, 0) for lock in entry.locks)
                    highest.update(dict.fromkeys(entry.locks, place))
                    self._places[entry.release_id] = place
        return self._places


def _members(entries: Iterable[_Entry]) -> tuple[Member, ...]:
    return tuple(Member(entry.release_id, entry.target) for entry in entries)
