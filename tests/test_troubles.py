"""What is stuck, and since when."""

from datetime import UTC, datetime, timedelta

from released.troubles import Trouble, Troubles
from support.samples import OTHER_RELEASE, RELEASE

NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def at_noon_and_a_minute_later_each_time() -> Troubles:
    times = iter(NOON + timedelta(minutes=minute) for minute in range(10))
    return Troubles(lambda: next(times))


def test_trouble_is_of_one_release() -> None:
    """The other ones have none."""
    troubles = at_noon_and_a_minute_later_each_time()
    troubles.report(RELEASE, "the container can't be removed")
    assert troubles.of(RELEASE) == Trouble("the container can't be removed", NOON)
    assert troubles.of(OTHER_RELEASE) is None


def test_trouble_that_changes_its_reason_is_as_old_as_it_was() -> None:
    """Its age says how long the lane has been stuck, not how long the engine has used the same words."""
    troubles = at_noon_and_a_minute_later_each_time()
    troubles.report(RELEASE, "the engine does not answer")
    troubles.report(RELEASE, "the engine refuses")
    assert troubles.of(RELEASE) == Trouble("the engine refuses", NOON)


def test_trouble_that_comes_back_is_new() -> None:
    """In between, the release got on."""
    troubles = at_noon_and_a_minute_later_each_time()
    troubles.report(RELEASE, "the engine refuses")
    troubles.clear(RELEASE)
    assert troubles.of(RELEASE) is None
    troubles.report(RELEASE, "the engine refuses")
    assert troubles.of(RELEASE) == Trouble("the engine refuses", NOON + timedelta(minutes=1))


def test_release_without_trouble_may_be_cleared() -> None:
    """Whoever gets on need not know whether it had been said that it did not."""
    troubles = at_noon_and_a_minute_later_each_time()
    troubles.clear(RELEASE)
    assert troubles.of(RELEASE) is None


def test_time_is_that_of_the_host_in_utc() -> None:
    """As everywhere in the contract."""
    troubles = Troubles()
    before = datetime.now(UTC)
    troubles.report(RELEASE, "stuck")
    trouble = troubles.of(RELEASE)
    assert trouble is not None
    assert before <= trouble.since <= datetime.now(UTC)
