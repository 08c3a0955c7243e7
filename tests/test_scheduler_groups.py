"""Lock groups in the scheduler: releases of one group never overlap, whatever their targets."""

from released.model.release import Target
from released.scheduler import GroupView, Member, Scheduler

SHOP, BLOG, WIKI = Target("shop", "live"), Target("blog", "live"), Target("wiki", "live")
DB, DISK = "db", "disk"


def enter(scheduler: Scheduler, release_id: str, target: Target, *groups: str) -> list[str]:
    scheduler.reserve(release_id, target, groups)
    return scheduler.confirm(release_id)


def test_release_behind_one_that_runs_comes_before_all_that_wait_for_its_groups() -> None:
    """Whatever their target: nothing of the group comes between a release and its rollback."""
    scheduler = Scheduler(4)
    for release_id, target in (("a", Target("shop", "live")), ("b", Target("blog", "live"))):
        scheduler.reserve(release_id, target, ("db",))
        scheduler.confirm(release_id)
    scheduler.reserve_behind("undo a", "a")
    assert scheduler.confirm("undo a") == []
    assert [scheduler.position(each) for each in ("a", "undo a", "b")] == [0, 1, 2]
    assert scheduler.leave("a") == ["undo a"]
    assert scheduler.leave("undo a") == ["b"]


def test_release_behind_one_that_runs_may_be_in_more_groups() -> None:
    """It waits for who has one of these, and comes before all that wait for one, whoever came first."""
    scheduler = Scheduler(9)
    enter(scheduler, "holder", WIKI, DISK)
    assert enter(scheduler, "waiting", BLOG, DISK) == []
    assert enter(scheduler, "a", SHOP, DB) == ["a"]
    scheduler.reserve_behind("undo a", "a", (DB, DISK))
    assert enter(scheduler, "b", SHOP, DB) == []
    assert scheduler.confirm("undo a") == []
    assert scheduler.leave("a") == []
    assert [scheduler.position(each) for each in ("undo a", "waiting", "b")] == [1, 2, 2]
    assert scheduler.others(SHOP, (DB, DISK), {"undo a"}) == [
        ("b", SHOP),
        ("holder", WIKI),
        ("waiting", BLOG),
    ]
    assert scheduler.leave("holder") == ["undo a"]
    assert scheduler.leave("undo a") == ["waiting", "b"]


def test_releases_of_one_group_never_overlap() -> None:
    """Though their targets differ; those of another group, or of none, run beside them."""
    scheduler = Scheduler(9)
    assert enter(scheduler, "a", SHOP, DB) == ["a"]
    assert enter(scheduler, "b", BLOG, DB) == []
    assert enter(scheduler, "c", WIKI, DISK) == ["c"]
    assert enter(scheduler, "d", Target("docs", "live")) == ["d"]
    assert scheduler.leave("a") == ["b"]


def test_who_waits_for_a_group_is_not_overtaken_there() -> None:
    """Though the group that the later one wants is free; whoever wants neither is not affected."""
    scheduler = Scheduler(9)
    enter(scheduler, "running", SHOP, DB)
    assert enter(scheduler, "both", BLOG, DB, DISK) == []
    assert enter(scheduler, "disk", WIKI, DISK) == []
    assert enter(scheduler, "other", Target("docs", "live"), "cache") == ["other"]
    assert scheduler.leave("running") == ["both"]
    assert scheduler.leave("both") == ["disk"]


def test_who_waits_in_a_lane_is_not_overtaken_in_its_groups() -> None:
    """It came first, and the group would be taken again and again."""
    scheduler = Scheduler(9)
    enter(scheduler, "running", SHOP)
    assert enter(scheduler, "next", SHOP, DB) == []
    assert enter(scheduler, "later", BLOG, DB) == []
    assert scheduler.leave("running") == ["next"]
    assert scheduler.leave("next") == ["later"]


def test_two_that_want_the_same_groups_in_another_order_both_get_them() -> None:
    """All at once or none: there is no deadlock."""
    scheduler = Scheduler(9)
    enter(scheduler, "running", WIKI, DB, DISK)
    enter(scheduler, "a", SHOP, DB, DISK)
    enter(scheduler, "b", BLOG, DISK, DB)
    assert scheduler.leave("running") == ["a"]
    assert scheduler.leave("a") == ["b"]


def test_one_that_leaves_the_queue_lets_the_next_of_each_group_go() -> None:
    """Several may start at once then, in their order."""
    scheduler = Scheduler(9)
    scheduler.reserve("unconfirmed", WIKI, (DB, DISK))
    assert enter(scheduler, "disk", BLOG, DISK) == []
    assert enter(scheduler, "db", SHOP, DB) == []
    assert scheduler.leave("unconfirmed") == ["disk", "db"]


def test_held_release_keeps_its_place_in_its_groups() -> None:
    """Nobody overtakes it while its cancel is being recorded; and it starts if that fails."""
    scheduler = Scheduler(9)
    enter(scheduler, "running", WIKI, DB)
    enter(scheduler, "a", SHOP, DB)
    enter(scheduler, "b", BLOG, DB)
    scheduler.hold("a")
    assert scheduler.leave("running") == []
    assert scheduler.confirm("a") == ["a"]
    assert scheduler.leave("a") == ["b"]


def test_limit_counts_a_release_once_whatever_groups_it_has() -> None:
    """And whoever waits only for the limit still holds the place in its groups."""
    scheduler = Scheduler(2)
    enter(scheduler, "a", SHOP, DB, DISK, "cache")
    assert scheduler.running == 1
    assert enter(scheduler, "b", BLOG) == ["b"]
    assert enter(scheduler, "c", WIKI, "mail") == []
    assert enter(scheduler, "d", Target("docs", "live"), "mail") == []
    assert scheduler.leave("a") == ["c"]


def test_several_of_a_group_that_are_resumed_all_hold_it() -> None:
    """The next one starts when the last of them has ended."""
    scheduler = Scheduler(9)
    scheduler.resume("a", SHOP, (DB,))
    scheduler.resume("b", BLOG, (DB, DISK))
    assert enter(scheduler, "c", WIKI, DB) == []
    assert scheduler.leave("b") == []
    assert scheduler.leave("a") == ["c"]


def test_resumed_release_keeps_one_from_starting_that_could_have() -> None:
    """It was kept by the engine that was away; what was found under way meanwhile comes before it."""
    scheduler = Scheduler(9)
    scheduler.set_open(False)
    enter(scheduler, "a", SHOP, DB)
    scheduler.resume("b", BLOG, (DB,))
    assert scheduler.set_open(True) == []
    assert scheduler.leave("b") == ["a"]


def test_release_that_was_accepted_before_its_target_had_a_group_has_none() -> None:
    """What counts is what it was accepted with: it may run beside one of the group."""
    scheduler = Scheduler(9)
    scheduler.resume("before", SHOP)
    assert enter(scheduler, "a", BLOG, DB) == ["a"]
    assert enter(scheduler, "b", SHOP, DB) == []
    assert scheduler.leave("before") == []
    assert scheduler.leave("a") == ["b"]


def test_position_counts_whoever_comes_before_one_after_the_other() -> None:
    """In the lane or in a group, whichever takes longer; side by side counts once."""
    scheduler = Scheduler(9)
    enter(scheduler, "running", SHOP, DB)
    waiting = [
        ("a", SHOP, ()),
        ("b", BLOG, (DB,)),
        ("c", SHOP, (DISK,)),
        ("d", WIKI, (DB, DISK)),
        ("e", WIKI, ()),
    ]
    for release_id, target, groups in waiting:
        expected = scheduler.next_position(target, groups)
        enter(scheduler, release_id, target, *groups)
        assert scheduler.position(release_id) == expected
    assert [scheduler.position(release_id) for release_id, *_ in waiting] == [1, 1, 2, 3, 4]
    scheduler.leave("c")
    assert [scheduler.position(release_id) for release_id, *_ in waiting] == [1, 1, 0, 2, 3]


def test_group_shows_who_has_it_and_who_waits() -> None:
    """With their targets, until the last has left; the holder is whom a newcomer would have to wait for."""
    scheduler = Scheduler(9)
    enter(scheduler, "a", SHOP, DB)
    enter(scheduler, "b", BLOG, DB, DISK)
    first, second = Member("a", SHOP), Member("b", BLOG)
    assert list(scheduler.groups()) == [GroupView(DB, (first,), (second,)), GroupView(DISK, (), (second,))]
    assert [scheduler.holder(group) for group in (DB, DISK, "cache")] == [first, second, None]
    scheduler.leave("a")
    scheduler.leave("b")
    assert list(scheduler.groups()) == []
