"""The daemon killed at random moments while releases run: `make storm` in its short form."""

import pytest

from support.docker_engine import Engine
from support.storm.storm import Storm, rage


@pytest.mark.parametrize(
    "storm", [Storm(kills=12, seed=1), Storm(kills=8, seed=2, failing=0.5)], ids=["succeeding", "failing"]
)
async def test_a_storm_loses_repeats_and_leaves_nothing(
    engine: Engine, busybox_image: str, storm: Storm
) -> None:
    """Each release ends as it must, with each byte that its commands wrote, and each of them ran once."""
    account = await rage(storm, engine, busybox_image)
    assert account.kills == storm.kills
    assert not account.findings, account.report
