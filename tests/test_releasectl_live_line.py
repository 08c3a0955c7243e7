"""The line at the bottom of the terminal, drawn at chosen moments."""

import pytest
from rich.console import Console

from releasectl.live_line import LiveLine
from releasephase.v1.release_event_pb2 import ReleaseEvent
from support.story import BEGIN, Story


class Clock:
    """A clock that stands still until it is set: seconds since the story began."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return BEGIN.timestamp() + self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def line(clock: Clock) -> LiveLine:
    return LiveLine(now=clock)


def drawn(line: LiveLine, *events: ReleaseEvent, width: int = 100) -> str:
    for event in events:
        line.update(event)
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(line.drawn(width))
    # The first character is the spinner's.
    return "\n".join(" ".join(row.split()) for row in capture.get().strip()[1:].splitlines()).strip()


def test_a_queued_release_shows_its_position(line: LiveLine, clock: Clock) -> None:
    """The position is known at once and follows the daemon's notices."""
    story = Story()
    clock.seconds = 13
    assert drawn(line, story.accepted(queue_position=2)) == "queued position 2 0:12"
    assert drawn(line, story.notice("QUEUED", 1)) == "queued position 1 0:12"


def test_a_pull_shows_bytes_and_layers(line: LiveLine, clock: Clock) -> None:
    """How much of how much, and for how long."""
    story = Story()
    events = [story.accepted(), story.preparing(), story.pulling(2, 10 * 2**20)]
    clock.seconds = 7
    text = drawn(line, *events)
    assert text.startswith("pulling registry.example/shop:42 ━")
    assert text.endswith("10 MiB of 50 MiB 2 of 5 layers 0:05")


def test_a_command_shows_its_time_and_its_timeout(line: LiveLine, clock: Clock) -> None:
    """Which of how many, how long already, and how long at most."""
    story = Story("migrate", "check")
    events = [story.accepted(), story.preparing(), story.running(), story.started(1)]
    clock.seconds = 4 + 75
    text = drawn(line, *events)
    assert text.startswith("check ━")
    assert text.endswith("━ 1:15 of 30:00 command 2 of 2")


def test_commands_that_are_known_later_are_counted(line: LiveLine, clock: Clock) -> None:
    """As soon as the image is there; that some of them are skipped is no step of the release."""
    story = Story.of_settings()
    resolved = story.commands_resolved("caches", "migrate", caches="not now")
    clock.seconds = 10
    text = drawn(line, story.accepted(), story.preparing(), resolved, story.skipped(0))
    assert text.startswith("preparing 0:0")
    assert drawn(line, story.running(), story.started(1)).endswith("of 30:00 command 2 of 2")
    assert drawn(line, story.signal_sent(1, 15)).startswith("stopping migrate with SIGTERM")


def test_a_slow_command_shows_what_it_usually_takes(line: LiveLine, clock: Clock) -> None:
    """As long as it runs; the next one is not slow."""
    story = Story("migrate", "check")
    events = [story.accepted(), story.preparing(), story.running(), story.started(0), story.slow(0, 12)]
    clock.seconds = 4 + 75
    assert drawn(line, *events).endswith("━ 1:15 of 30:00 slow: usually 12s command 1 of 2")
    assert "slow" not in drawn(line, story.finished(0), story.started(1))


def test_a_narrow_terminal_has_no_bar(line: LiveLine, clock: Clock) -> None:
    """What is said in words comes first."""
    story = Story("check")
    clock.seconds = 5
    assert drawn(line, story.accepted(), story.started(0), width=50) == "check 0:03 of 30:00 command 1 of 1"


def test_a_long_label_gives_way(line: LiveLine) -> None:
    """However long it is, the time stays in sight."""
    story = Story("update the headers of all media files on the storage")
    text = drawn(line, story.accepted(), story.started(0), width=60)
    assert text == "update the headers of all … 0:00 of 30:00 command 1 of 1"


def test_a_clock_behind_the_daemons_shows_zero(line: LiveLine) -> None:
    """Time never runs backwards on the screen."""
    story = Story()
    assert drawn(line, story.accepted()) == "queued 0:00"


def test_a_command_being_stopped_says_so(line: LiveLine) -> None:
    """A person sees that the signal was sent and that it takes its time."""
    story = Story("migrate")
    text = drawn(line, story.accepted(), story.started(0), story.signal_sent(0, 15))
    assert text.startswith("stopping migrate with SIGTERM 0:00 of")


def test_output_without_its_newline_stands_above(line: LiveLine) -> None:
    """A progress bar of a command is seen while it moves."""
    story = Story("migrate")
    line.tail = "50%"
    console = Console(width=80, color_system=None)
    line.update(story.accepted())
    with console.capture() as capture:
        console.print(line.drawn(80))
    assert capture.get().splitlines()[0].rstrip() == "50%"


def test_a_label_is_neither_markup_nor_command(line: LiveLine) -> None:
    """Brackets are shown as they are, control characters as their escapes."""
    story = Story("[red]x[/red]\x1b[2J")
    assert drawn(line, story.accepted(), story.started(0)).startswith("[red]x[/red]\\x1b[2J 0:00 of")


def test_the_last_word(line: LiveLine) -> None:
    """It says how it ended and how long it took since it left the queue."""
    story = Story("migrate")
    drawn(line, story.accepted())
    assert line.summary() is None
    drawn(line, story.notice("QUEUED", 1), story.preparing(), story.running(), story.started(0))
    line.update(story.succeeded())
    assert str(line.summary()) == "✓ succeeded in 3s"


def test_the_last_word_on_a_failure(line: LiveLine) -> None:
    """It says where to read more."""
    story = Story("migrate")
    drawn(line, story.accepted(), story.preparing(), story.failed("Exit code 1.", 0))
    assert str(line.summary()) == "✗ failed after 1s  releasectl show 01939d3b-7e4a-7cc3-98c4-dc0c0c07398f"


def test_the_last_word_on_a_cancelled_release(line: LiveLine) -> None:
    """One that never left the queue took no time."""
    story = Story("migrate")
    drawn(line, story.accepted(), story.cancelled())
    assert str(line.summary()) == "● cancelled after 0s"
