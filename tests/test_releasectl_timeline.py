"""The timeline of `show`: bars on one axis, whatever the times are."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasectl.drawing import draw
from releasectl.timeline import Timeline, timeline_of, timeline_rows
from releasephase.v1.release_pb2 import Release
from support.story import BEGIN, Story, a_failure, a_success, timestamp


def at(release: Release, seconds: float) -> None:
    """Let a release leave its queue then."""
    release.start_time.CopyFrom(timestamp(BEGIN + timedelta(seconds=seconds)))


def ran(release: Release, index: int, begin: float, end: float | None = None) -> None:
    """Let a command run from then to then."""
    run = release.command_runs[index]
    run.start_time.CopyFrom(timestamp(BEGIN + timedelta(seconds=begin)))
    if end is not None:
        run.end_time.CopyFrom(timestamp(BEGIN + timedelta(seconds=end)))


@pytest.fixture
def failed() -> Release:
    """Two seconds in the queue, 1.5 of preparation, 3.5 of its one command; at an end after 8."""
    release = a_failure()[0].release
    at(release, 2)
    ran(release, 0, 3.5, 7)
    return release


def test_a_bar_for_each_part(failed: Release, capsys: pytest.CaptureFixture[str]) -> None:
    """Each at its place in time, its duration beside it; what never ran has none."""
    draw(timeline_of(failed, failed.end_time))
    assert capsys.readouterr().out == (
        "NO  PART       TOOK  0s                                    8s\n"
        "-   queue      2s    ##########\n"
        "-   preparing  1.5s            ########\n"
        "1   migrate    3.5s                   ##################\n"
        "2   check      -\n"
    )


def test_a_release_that_goes_on_is_drawn_up_to_now() -> None:
    """The command that runs, too."""
    release = Story("migrate").release
    at(release, 0)
    ran(release, 0, 1)
    timeline = timeline_of(release, timestamp(BEGIN + timedelta(seconds=10)))
    assert timeline_rows(timeline, 10, "#") == [
        ("NO", "PART", "TOOK", "0s     10s"),
        ("-", "queue", "0s", "#"),
        ("-", "preparing", "1s", "#"),
        ("1", "migrate", "9s", " #########"),
    ]


def test_a_release_in_the_queue_has_nothing_else() -> None:
    """What it will do has no time yet."""
    release = Story("migrate").release
    timeline = timeline_of(release, timestamp(BEGIN + timedelta(hours=2)))
    assert timeline_rows(timeline, 10, "#")[1:] == [
        ("-", "queue", "2h", "##########"),
        ("1", "migrate", "-", ""),
    ]


def test_a_release_without_commands_was_prepared_to_its_end() -> None:
    """It had nothing else to do."""
    release = a_success()[0].release
    del release.command_runs[:]
    at(release, 6)
    names = [(part.name, part.begin, part.seconds) for part in timeline_of(release, release.end_time).parts]
    assert names == [("queue", 0.0, 6.0), ("preparing", 6.0, 6.0)]


def test_a_clock_that_was_turned_back_draws_no_nonsense() -> None:
    """Nothing begins before the beginning, or takes less than no time."""
    release = Story("migrate").release
    at(release, -5)
    ran(release, 0, 3, -10)
    timeline = timeline_of(release, timestamp(BEGIN - timedelta(hours=1)))
    assert timeline.seconds == 3
    assert [part.seconds for part in timeline.parts] == [0, 3, 0]
    assert [row[-1] for row in timeline_rows(timeline, 10, "#")[1:]] == ["#", "##########", " " * 9 + "#"]


moments = st.floats(min_value=0, max_value=1e6)


@given(st.lists(moments, min_size=2, max_size=8), moments, st.integers(min_value=0, max_value=200))
def test_no_bar_leaves_the_axis(times: list[float], end: float, width: int) -> None:
    """Whatever the times are, what ran is seen."""
    times.sort()
    release = Story(*map(str, times[1:])).release
    at(release, times[0])
    for index, (begin, ended) in enumerate(pairwise(times)):
        ran(release, index, begin, ended)
    timeline = timeline_of(release, timestamp(BEGIN + timedelta(seconds=end)))
    axis, *bars = [row[-1] for row in timeline_rows(timeline, width, "#")]
    assert len(axis) == max(width, 10)
    assert all(bar.endswith("#") and len(bar) <= len(axis) for bar in bars)


def test_an_axis_without_time_is_drawn_all_the_same() -> None:
    """A release that was cancelled at once took none."""
    timeline = Timeline(timeline_of(Story().release, timestamp(BEGIN)).parts, 0.0)
    assert timeline_rows(timeline, 10, "#")[1] == ("-", "queue", "0s", "#")
