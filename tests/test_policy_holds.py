"""Paths that releases under way have mounted: none may be swapped by another one."""

import pytest

from released.policy.holds import Held, Holds
from released.policy.host_paths import Refused

READ, WRITE = False, True


@pytest.mark.parametrize(
    ("first", "second", "conflict"),
    [
        (Held("/srv/a", WRITE), Held("/srv/a/b", READ), True),
        (Held("/srv/a", WRITE), Held("/srv/a/b/c", WRITE), True),
        (Held("/srv/a/b", READ), Held("/srv/a", WRITE), True),
        (Held("/srv/a", READ), Held("/srv/a/b", WRITE), False),
        (Held("/srv/a", READ), Held("/srv/a/b", READ), False),
        (Held("/srv/a", WRITE), Held("/srv/a", WRITE), False),
        (Held("/srv/a", WRITE), Held("/srv/ab", WRITE), False),
    ],
    ids=str,
)
def test_conflict(first: Held, second: Held, conflict: bool) -> None:
    """One lies inside of the other, which may be written."""
    holds = Holds()
    holds.hold("a", [first])
    if not conflict:
        holds.hold("b", [second])
        return
    with pytest.raises(Refused, match="releases/a"):
        holds.hold("b", [second])
    holds.let_go("a")
    holds.hold("b", [second])


def test_release_is_not_in_its_own_way() -> None:
    """Its mounts are made together, before anything of it runs."""
    holds = Holds()
    holds.hold("a", [Held("/srv", WRITE), Held("/srv/a", READ)])
    holds.hold("a", [Held("/srv/a", READ)])
    holds.hold("b", [Held("/srv/a/b", READ)])


def test_what_is_refused_is_not_held() -> None:
    """Nor is what it would have been held in place of given up."""
    holds = Holds()
    holds.hold("a", [Held("/srv/a", WRITE)])
    holds.hold("b", [Held("/opt", WRITE)])
    with pytest.raises(Refused):
        holds.hold("b", [Held("/srv/a/b", READ)])
    with pytest.raises(Refused):
        holds.hold("c", [Held("/opt/c", READ)])


def test_what_is_known_better_is_kept() -> None:
    """What a release holds since its container was made is exact; what it asked for may be a link."""
    holds = Holds()
    holds.hold("a", [Held("/srv/a", WRITE)])
    holds.keep("a", [Held("/opt", WRITE)])
    holds.hold("b", [Held("/opt/b", READ)])
    holds.let_go("a")
    holds.let_go("a")
    holds.keep("a", [Held("/opt/b", WRITE)])
    with pytest.raises(Refused):
        holds.hold("c", [Held("/opt/b/c", READ)])
