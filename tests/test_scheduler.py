"""The scheduler: lanes that never overlap, a limit over all of them, first come first served."""

import pytest

from released.model.release import Target
from released.scheduler import LaneView, Scheduler

SHOP, BLOG, WIKI = Target("shop", "live"), Target("blog", "live"), Target("wiki", "live")


def enter(scheduler: Scheduler, release_id: str, target: Target) -> list[str]:
    scheduler.reserve(release_id, target)
    return scheduler.confirm(release_id)


def test_release_in_an_idle_lane_starts_at_once() -> None:
    """As soon as it is confirmed."""
    assert enter(Scheduler(1), "a", SHOP) == ["a"]


def test_release_does_not_start_before_it_is_confirmed() -> None:
    """Its place is taken, but it is not durable yet: not even a free place lets it start."""
    scheduler = Scheduler(2)
    scheduler.reserve("a", SHOP)
    assert enter(scheduler, "b", BLOG) == ["b"]
    assert scheduler.leave("b") == []
    assert scheduler.confirm("a") == ["a"]


def test_lane_is_first_come_first_served_by_the_time_of_reservation() -> None:
    """A release that is confirmed sooner does not overtake one that came sooner."""
    scheduler = Scheduler(2)
    scheduler.reserve("a", SHOP)
    scheduler.reserve("b", SHOP)
    assert scheduler.confirm("b") == []
    assert scheduler.confirm("a") == ["a"]
    assert scheduler.leave("a") == ["b"]


def test_who_comes_before_a_release_and_is_not_confirmed() -> None:
    """Whoever is, or runs, or comes behind it, or is of another lane, is none of them."""
    scheduler = Scheduler(1)
    enter(scheduler, "runs", SHOP)
    for release_id in ("a", "b", "c", "d"):
        scheduler.reserve(release_id, SHOP)
    scheduler.reserve("elsewhere", BLOG)
    scheduler.confirm("a")
    assert scheduler.unconfirmed_before("c") == ["b"]
    assert scheduler.unconfirmed_before("a") == []


def test_release_behind_one_that_runs_comes_before_all_that_wait() -> None:
    """In its lane, as soon as that one has left; and before those of other lanes that came later than it."""
    scheduler = Scheduler(1)
    enter(scheduler, "a", SHOP)
    enter(scheduler, "b", SHOP)
    enter(scheduler, "c", BLOG)
    scheduler.reserve_behind("undo a", "a")
    assert scheduler.confirm("undo a") == []
    assert [scheduler.position(each) for each in ("a", "undo a", "b")] == [0, 1, 2]
    assert scheduler.others(SHOP, (), {"a", "undo a"}) == [("b", SHOP)]
    assert scheduler.leave("a") == ["undo a"]
    assert scheduler.leave("undo a") == ["b"]


def test_place_behind_one_that_runs_is_kept_until_it_is_confirmed_or_given_back() -> None:
    """As any place."""
    scheduler = Scheduler(1)
    enter(scheduler, "a", SHOP)
    enter(scheduler, "b", SHOP)
    scheduler.reserve_behind("undo a", "a")
    assert scheduler.leave("a") == []
    assert scheduler.leave("undo a") == ["b"]


def test_lanes_run_side_by_side_up_to_the_limit() -> None:
    """The next one starts when one of any lane ends."""
    scheduler = Scheduler(2)
    assert enter(scheduler, "a", SHOP) == ["a"]
    assert enter(scheduler, "b", BLOG) == ["b"]
    assert enter(scheduler, "c", WIKI) == []
    assert scheduler.leave("b") == ["c"]


def test_whoever_arrived_first_starts_first_across_lanes() -> None:
    """A busy lane's next release does not have to stand behind those that came later."""
    scheduler = Scheduler(1)
    enter(scheduler, "running", SHOP)
    enter(scheduler, "first", SHOP)
    enter(scheduler, "second", BLOG)
    assert scheduler.leave("running") == ["first"]
    assert scheduler.leave("first") == ["second"]


def test_reservation_that_is_withdrawn_lets_the_next_start() -> None:
    """Its request could not be recorded."""
    scheduler = Scheduler(1)
    scheduler.reserve("a", SHOP)
    assert enter(scheduler, "b", SHOP) == []
    assert scheduler.leave("a") == ["b"]


def test_resumed_release_counts_but_is_not_held_back() -> None:
    """It is under way already: others wait for it, it waits for nobody."""
    scheduler = Scheduler(1)
    scheduler.resume("a", SHOP)
    scheduler.resume("b", BLOG)
    assert scheduler.running == 2
    assert enter(scheduler, "c", SHOP) == []
    assert scheduler.leave("b") == []
    assert scheduler.leave("a") == ["c"]


def test_two_resumed_releases_of_one_lane() -> None:
    """The end of the first could not be recorded before the second was started: both are settled now."""
    scheduler = Scheduler(2)
    scheduler.resume("a", SHOP)
    scheduler.resume("b", SHOP)
    assert enter(scheduler, "c", SHOP) == []
    assert scheduler.leave("a") == []
    assert scheduler.running == 1
    assert scheduler.leave("b") == ["c"]
    assert scheduler.leave("c") == []
    assert (scheduler.running, scheduler.is_busy(SHOP)) == (0, False)


def test_positions_count_from_the_next_to_start() -> None:
    """The one that runs, those that have left and those that were never there have none."""
    scheduler = Scheduler(1)
    for release_id in "abcd":
        enter(scheduler, release_id, SHOP)
    scheduler.leave("c")
    assert [scheduler.position(release_id) for release_id in "abcdx"] == [0, 1, 0, 2, 0]
    assert [scheduler.is_waiting(release_id) for release_id in "abcdx"] == [False, True, False, True, False]


def test_place_that_a_release_would_get_is_the_one_that_it_gets() -> None:
    """In a free lane, in a busy one, and where only the limit keeps it."""
    scheduler = Scheduler(2)
    for release_id, target in zip("abcdef", (SHOP, SHOP, SHOP, BLOG, WIKI, WIKI), strict=True):
        expected = scheduler.next_position(target)
        enter(scheduler, release_id, target)
        assert scheduler.position(release_id) == expected
    scheduler.set_open(False)
    assert Scheduler(1).next_position(SHOP) == 0
    assert scheduler.next_position(Target("new", "live")) == 1


def test_queue_of_a_target_is_whoever_stands_behind_its_first() -> None:
    """Whether that one runs, waits for a free place, or is not even confirmed."""
    scheduler = Scheduler(1)
    queued = []
    for release_id, target in zip("abcdefg", (SHOP, SHOP, BLOG, BLOG, BLOG, WIKI, SHOP), strict=True):
        scheduler.reserve(release_id, target)
        queued.append(scheduler.queued(target))
    assert queued == [0, 1, 0, 1, 2, 0, 2]
    assert scheduler.confirm("a") == ["a"]
    scheduler.leave("b")
    assert [scheduler.queued(target) for target in (SHOP, BLOG, Target("new", "live"))] == [1, 2, 0]
    assert scheduler.leave("a") == []
    assert scheduler.queued(SHOP) == 0


def test_lanes_show_who_runs_and_who_waits() -> None:
    """Until the last of a lane has left."""
    scheduler = Scheduler(1)
    for release_id, target in (("a", SHOP), ("b", SHOP), ("c", BLOG)):
        enter(scheduler, release_id, target)
    assert list(scheduler.lanes()) == [LaneView(SHOP, ("a",), ("b",)), LaneView(BLOG, (), ("c",))]
    scheduler.leave("c")
    assert list(scheduler.lanes()) == [LaneView(SHOP, ("a",), ("b",))]
    assert (scheduler.is_busy(SHOP), scheduler.is_busy(BLOG)) == (True, False)


def test_release_is_in_its_lane_until_it_leaves() -> None:
    """Reserved, waiting and under way alike."""
    scheduler = Scheduler(1)
    assert not scheduler.has("a")
    scheduler.reserve("a", SHOP)
    scheduler.reserve("b", SHOP)
    scheduler.confirm("a")
    assert (scheduler.has("a"), scheduler.has("b")) == (True, True)
    scheduler.leave("a")
    assert (scheduler.has("a"), scheduler.has("b")) == (False, True)


def test_release_leaves_once() -> None:
    """Anything else is a defect of the caller, and loud."""
    scheduler = Scheduler(1)
    enter(scheduler, "a", SHOP)
    scheduler.leave("a")
    with pytest.raises(KeyError):
        scheduler.leave("a")


def test_held_release_keeps_its_place() -> None:
    """Nobody overtakes it while its cancel is being recorded; and it starts if that fails."""
    scheduler = Scheduler(1)
    enter(scheduler, "running", BLOG)
    enter(scheduler, "a", SHOP)
    enter(scheduler, "b", SHOP)
    scheduler.hold("a")
    assert scheduler.leave("running") == []
    assert scheduler.position("a") == 1
    assert scheduler.confirm("a") == ["a"]


def test_nobody_starts_while_it_is_closed() -> None:
    """Those that run go on, those that come keep their places; then all start that may, in their order."""
    scheduler = Scheduler(2)
    enter(scheduler, "running", SHOP)
    assert scheduler.set_open(False) == []
    assert enter(scheduler, "a", SHOP) == enter(scheduler, "b", BLOG) == enter(scheduler, "c", WIKI) == []
    assert scheduler.leave("running") == []
    assert scheduler.set_open(True) == ["a", "b"]


def test_higher_limit_starts_what_waits_and_a_lower_one_lets_run_what_runs() -> None:
    """The next ones start when fewer are under way than the new limit."""
    scheduler = Scheduler(1)
    targets = {release_id: Target(release_id, "live") for release_id in "abcd"}
    started = [enter(scheduler, release_id, target) for release_id, target in targets.items()]
    assert started == [["a"], [], [], []]
    assert scheduler.set_limit(3) == ["b", "c"]
    assert scheduler.set_limit(1) == []
    assert [scheduler.leave("a"), scheduler.leave("b"), scheduler.leave("c")] == [[], [], ["d"]]
