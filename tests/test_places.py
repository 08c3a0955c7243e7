"""How many connections each user may have at once."""

import logging
import os
import resource
from itertools import count

import pytest

from released.service.places import STRANGERS, STRANGERS_EACH, Place, Places, raise_descriptor_limit

ROOT, ALICE, BOB = 0, 1001, 1002


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Places:
    """20 for each user; as many descriptors as 75 connections need, 50 of them for users."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (300, 300))
    monkeypatch.setattr(os, "geteuid", lambda: 999)
    return Places(20)


def take_all(places: Places, uid: int, known: bool = True) -> int:
    """How many places a user gets who takes all that are to be had."""
    return next(number for number in count() if not places.take(uid, known))


def test_a_user_has_so_many_places_and_another_one_as_many(places: Places) -> None:
    """Whoever has too many connections is refused alone."""
    assert [take_all(places, uid) for uid in (ALICE, BOB)] == [20, 20]


def test_a_place_that_is_left_can_be_taken_again(places: Places) -> None:
    """By that user, and no more than were left."""
    take_all(places, ALICE)
    for _ in range(3):
        places.leave(Place(ALICE, True))
    assert take_all(places, ALICE) == 3


def test_users_together_leave_room_for_root(places: Places) -> None:
    """However many users there are: somebody may have thousands of ids in a user namespace."""
    assert sum(take_all(places, uid) for uid in range(ALICE, ALICE + 100)) == 50
    assert take_all(places, ROOT) == 25


def test_users_without_any_right_share_a_few_places(places: Places) -> None:
    """However many they are, they keep nobody out who has a right."""
    taken = [take_all(places, uid, known=False) for uid in range(ALICE, ALICE + 100)]
    assert (taken[0], sum(taken)) == (STRANGERS_EACH, STRANGERS)
    assert take_all(places, BOB + 1000) == 20
    places.leave(Place(ALICE, False))
    assert take_all(places, BOB + 2000, known=False) == 1


def test_user_who_is_refused_is_not_remembered(places: Places) -> None:
    """There may be thousands of them."""
    for uid in range(ALICE, ALICE + 100):
        take_all(places, uid, known=False)
    assert len(places._by_place) == STRANGERS // STRANGERS_EACH


@pytest.mark.parametrize("uid", [ROOT, 999])
def test_root_and_the_daemons_own_user_leave_descriptors_to_the_daemon(places: Places, uid: int) -> None:
    """They are not counted as users, but an agent of root's that forgets to close must not stop releases."""
    assert take_all(places, uid) == 75
    assert not places.take(ALICE, True)


def test_the_log_says_once_that_a_user_is_refused_and_once_that_there_is_room(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    """Not for each refusal, nor whenever a few places come and go."""
    caplog.set_level(logging.INFO)
    for _ in range(3):
        take_all(places, ALICE)
        places.leave(Place(ALICE, True))
    assert caplog.messages == ["user 1001: 20 connections are open, more are refused"]
    for _ in range(19):
        places.leave(Place(ALICE, True))
    assert caplog.messages[1:] == ["user 1001: there is room again, 3 connections were refused"]


def test_the_process_gets_all_descriptors_that_it_may_have() -> None:
    """Many systems begin with 1024, and allow many more."""
    before = resource.prlimit(0, resource.RLIMIT_NOFILE)
    _, most = before
    resource.prlimit(0, resource.RLIMIT_NOFILE, (most - 1, most))
    try:
        raise_descriptor_limit()
        assert resource.prlimit(0, resource.RLIMIT_NOFILE) == (most, most)
    finally:
        resource.prlimit(0, resource.RLIMIT_NOFILE, before)


def test_limit_that_is_changed_holds_for_who_is_in_and_who_comes(places: Places) -> None:
    """Nobody is thrown out; whoever has more than the new limit gets no more until they have fewer."""
    take_all(places, ALICE)
    places.limit_each(10)
    assert [take_all(places, uid) for uid in (ALICE, BOB)] == [0, 10]
    for _ in range(11):
        places.leave(Place(ALICE, True))
    assert take_all(places, ALICE) == 1
    places.limit_each(12)
    assert [take_all(places, uid) for uid in (ALICE, BOB)] == [2, 2]
