"""The scripted service of the tests: it sends what a test gave it, and nothing twice that is sent once."""

from pathlib import Path

import pytest

from releasectl import ReleaseClient
from releasectl.exceptions import ReleasephaseError
from support.scripted_service import serve
from support.story import NAME, a_success


async def test_a_call_without_an_answer_fails_the_test(tmp_path: Path) -> None:
    """Also where the test expects an error, and takes this one for it."""
    _, events = a_success()

    async def ask_twice_with_one_answer() -> None:
        async with serve(tmp_path / "s") as service, ReleaseClient(service.socket) as agent:
            service.stream(*events)
            assert [event async for event in agent.watch_release(NAME)] == events
            with pytest.raises(ReleasephaseError, match="the test has no answer to WatchRelease"):
                await anext(agent.watch_release(NAME))

    with pytest.raises(AssertionError, match="WatchRelease"):
        await ask_twice_with_one_answer()
