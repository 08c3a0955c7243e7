"""Which state of a release may follow which."""

import re
from itertools import product

import pytest

from released.model.states import Cause, IllegalTransition, ReleaseState

QUEUED, PREPARING, RUNNING = ReleaseState.QUEUED, ReleaseState.PREPARING, ReleaseState.RUNNING
SUCCEEDED, FAILED, CANCELLED = ReleaseState.SUCCEEDED, ReleaseState.FAILED, ReleaseState.CANCELLED

ALLOWED = {
    (QUEUED, PREPARING),
    (QUEUED, SUCCEEDED),
    (QUEUED, FAILED),
    (QUEUED, CANCELLED),
    (PREPARING, RUNNING),
    (PREPARING, SUCCEEDED),
    (PREPARING, FAILED),
    (PREPARING, CANCELLED),
    (RUNNING, SUCCEEDED),
    (RUNNING, FAILED),
    (RUNNING, CANCELLED),
}


@pytest.mark.parametrize(("source", "to"), sorted(ALLOWED))
def test_allowed_transitions(source: ReleaseState, to: ReleaseState) -> None:
    """Onwards only, and to an end from everywhere that can end so."""
    source.check_transition(to)


@pytest.mark.parametrize(("source", "to"), sorted(set(product(ReleaseState, repeat=2)) - ALLOWED))
def test_all_other_transitions_are_defects(source: ReleaseState, to: ReleaseState) -> None:
    """No way back, no way out of an end, and no state twice."""
    message = re.escape(f"a release can't become {to} from {source}")
    with pytest.raises(IllegalTransition, match=message):
        source.check_transition(to)


def test_terminal_states() -> None:
    """Nothing follows SUCCEEDED, FAILED and CANCELLED; something follows all others."""
    assert {state for state in ReleaseState if state.is_terminal} == {SUCCEEDED, FAILED, CANCELLED}


def test_causes_are_those_of_the_contract() -> None:
    """The names are the contract's."""
    assert set(Cause) == {
        "COMMAND_FAILED",
        "COMMAND_TIMED_OUT",
        "OUT_OF_MEMORY",
        "IMAGE_UNAVAILABLE",
        "CONTAINER_FAILED",
        "ENGINE_LOST",
        "INTERRUPTED",
        "QUEUE_TIMED_OUT",
        "RELEASE_TIMED_OUT",
        "COMMANDS_INVALID",
    }
