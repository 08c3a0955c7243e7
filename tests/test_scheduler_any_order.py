"""The scheduler against a model of it: whatever happens in whatever order, with lanes and lock groups."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from released.model.release import Target
from released.scheduler import Scheduler
from support.properties import deterministic


class Wish(NamedTuple):
    """What a release is for."""

    target: Target
    groups: tuple[str, ...]

    @property
    def locks(self) -> set[Target | str]:
        return {self.target, *self.groups}


# Mostly each target has its groups; a reload of the configuration gives it others.
wishes = st.builds(
    Wish,
    target=st.sampled_from([Target(name, "live") for name in ("shop", "blog", "wiki")]),
    groups=st.sampled_from([(), (), ("db",), ("disk",), ("db", "disk"), ("disk", "db")]),
)


@dataclass
class Model:
    """What the scheduler is to do, as simply as it can be said."""

    limit: int
    queue: dict[str, Wish] = field(default_factory=dict)
    """Those that wait, in the order of arrival."""
    confirmed: set[str] = field(default_factory=set)
    running: dict[str, Wish] = field(default_factory=dict)
    is_open: bool = True

    def start(self) -> list[str]:
        """Start the first that may, until none may."""
        started = []
        while (release_id := self._next()) is not None:
            self.running[release_id] = self.queue.pop(release_id)
            started.append(release_id)
        return started

    def _next(self) -> str | None:
        if not self.is_open or len(self.running) >= self.limit:
            return None
        taken = locks_of(self.running.values())
        for release_id, wish in self.queue.items():
            if taken.isdisjoint(wish.locks) and release_id in self.confirmed:
                return release_id
            taken |= wish.locks  # nobody who came later overtakes it there
        return None

    def positions(self, *newcomer: Wish) -> list[int]:
        """Of all that wait, and of one that arrives now: one more than the highest of those that came before
        it for something that it needs, too."""
        places: list[tuple[Wish, int]] = []
        for wish in (*self.queue.values(), *newcomer):
            before = [place for other, place in places if not wish.locks.isdisjoint(other.locks)]
            places.append((wish, 1 + max(before, default=0)))
        return [place for _, place in places]

    @property
    def present(self) -> dict[str, Wish]:
        return self.running | self.queue


def locks_of(wishes: Iterable[Wish]) -> set[Target | str]:
    return {lock for wish in wishes for lock in wish.locks}


class AnyOrder(RuleBasedStateMachine):
    """Arrivals, holds, ends, cancels and recoveries in any order, against the model."""

    @initialize(limit=st.integers(1, 3))
    def begin(self, limit: int) -> None:
        self.scheduler = Scheduler(limit)
        self.model = Model(limit)
        self.resumed: set[str] = set()
        self.count = 0

    def new(self) -> str:
        self.count += 1
        return f"r{self.count}"

    @rule(wish=wishes)
    def reserve(self, wish: Wish) -> None:
        release_id = self.new()
        present = locks_of(self.model.present.values())
        assert self.scheduler.is_busy(wish.target) == (wish.target in present)
        for group in wish.groups:
            assert (self.scheduler.holder(group) is not None) == (group in present)
        free = present.isdisjoint(wish.locks)
        starts = free and self.model.is_open and len(self.model.running) < self.model.limit
        expected = 0 if starts else self.model.positions(wish)[-1]
        assert self.scheduler.next_position(wish.target, wish.groups) == expected
        self.scheduler.reserve(release_id, wish.target, wish.groups)
        self.model.queue[release_id] = wish

    @precondition(lambda self: self.unconfirmed())
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        self.confirm_and_follow(data.draw(st.sampled_from(self.unconfirmed())))

    @precondition(lambda self: self.model.queue)
    @rule(data=st.data())
    def hold(self, data: st.DataObject) -> None:
        """It is being cancelled: it must not start while that is recorded."""
        release_id = data.draw(st.sampled_from(list(self.model.queue)))
        self.model.confirmed.discard(release_id)
        self.scheduler.hold(release_id)

    @rule(is_open=st.booleans())
    def set_open(self, is_open: bool) -> None:
        """The engine comes or goes, or the daemon drains."""
        self.model.is_open = is_open
        assert self.scheduler.set_open(is_open) == self.model.start()

    @rule(limit=st.integers(1, 3))
    def set_limit(self, limit: int) -> None:
        """The configuration is read again. What runs beyond a lower limit goes on."""
        self.model.limit = limit
        assert self.scheduler.set_limit(limit) == self.model.start()

    @precondition(lambda self: self.model.present)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        release_id = data.draw(st.sampled_from(list(self.model.present)))
        self.model.running.pop(release_id, None)
        self.model.queue.pop(release_id, None)
        assert self.scheduler.leave(release_id) == self.model.start()

    @rule(wish=wishes)
    def resume(self, wish: Wish) -> None:
        release_id = self.new()
        self.scheduler.resume(release_id, wish.target, wish.groups)
        self.model.running[release_id] = wish
        self.resumed.add(release_id)

    @invariant()
    def nothing_is_had_by_two(self) -> None:
        """No lane and no lock group; what was resumed was under way before anybody could be asked."""
        had = [
            lock
            for release_id, wish in self.model.running.items()
            if release_id not in self.resumed
            for lock in wish.locks
        ]
        assert len(had) == len(set(had))

    @invariant()
    def everyone_is_where_the_model_has_them(self) -> None:
        assert self.scheduler.running == len(self.model.running)
        lanes = {lane.target: (lane.running, lane.waiting) for lane in self.scheduler.lanes()}
        groups = {
            group.name: tuple(tuple(member.release_id for member in part) for part in group[1:])
            for group in self.scheduler.groups()
        }
        assert len(lanes) + len(groups) == len(locks_of(self.model.present.values()))
        for lock, (running, waiting) in (lanes | groups).items():
            assert list(running) == [key for key, wish in self.model.running.items() if lock in wish.locks]
            assert list(waiting) == [key for key, wish in self.model.queue.items() if lock in wish.locks]
        for group in self.scheduler.groups():
            for member in group.running + group.waiting:
                assert self.model.present[member.release_id].target == member.target
            assert self.scheduler.holder(group.name) == (group.running + group.waiting)[0]

    @invariant()
    def positions_are_those_of_the_model(self) -> None:
        assert [
            self.scheduler.position(release_id) for release_id in self.model.queue
        ] == self.model.positions()
        assert all(self.scheduler.position(release_id) == 0 for release_id in self.model.running)

    def teardown(self) -> None:
        """No release is forgotten: once all are confirmed and those that run end, everyone has run."""
        if not hasattr(self, "model"):
            return
        self.set_open(True)
        for release_id in self.unconfirmed():
            self.confirm_and_follow(release_id)
        while self.model.running:
            release_id = next(iter(self.model.running))
            del self.model.running[release_id]
            assert self.scheduler.leave(release_id) == self.model.start()
        assert not self.model.queue
        assert not list(self.scheduler.lanes())
        assert not list(self.scheduler.groups())

    def confirm_and_follow(self, release_id: str) -> None:
        self.model.confirmed.add(release_id)
        assert self.scheduler.confirm(release_id) == self.model.start()

    def unconfirmed(self) -> list[str]:
        return [release_id for release_id in self.model.queue if release_id not in self.model.confirmed]


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = deterministic
