"""What the status says of a lane."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from released.model.release import Target
from released.scheduler import LaneView
from released.service.daemon import lane_status
from released.troubles import Troubles
from releasephase.v1.daemon_service_pb2 import LaneStatus

SHOP = Target("shop", "live")
NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def test_lane_that_gets_on() -> None:
    """Who runs, who waits, and not a word about trouble, not even a time."""
    lane = LaneView(SHOP, ("a",), ("b", "c"))
    assert lane_status(lane, Troubles()) == LaneStatus(
        target="shop/live", running_release="releases/a", queued_releases=["releases/b", "releases/c"]
    )


def test_lane_whose_release_is_stuck() -> None:
    """Why, and since when; the troubles of other lanes are not its own."""
    troubles = Troubles(lambda: NOON)
    troubles.report("x", "another lane's")
    troubles.report("a", "the container can't be removed")
    status = lane_status(LaneView(SHOP, ("a",), ("b",)), troubles)
    assert status.trouble == "the container can't be removed"
    assert status.trouble_time == Timestamp(seconds=int(NOON.timestamp()))


def test_lane_whose_waiting_release_is_stuck() -> None:
    """What keeps it from its end keeps the others behind it."""
    troubles = Troubles(lambda: NOON)
    troubles.report("c", "its end can't be recorded")
    status = lane_status(LaneView(SHOP, (), ("b", "c")), troubles)
    assert (status.running_release, status.trouble) == ("", "its end can't be recorded")


def test_of_several_resumed_releases_the_stuck_one_is_named() -> None:
    """The other one will end by itself; this one an operator has to look at."""
    troubles = Troubles(lambda: NOON)
    troubles.report("b", "the container can't be removed")
    status = lane_status(LaneView(SHOP, ("a", "b"), ()), troubles)
    assert (status.running_release, status.trouble) == ("releases/b", "the container can't be removed")
