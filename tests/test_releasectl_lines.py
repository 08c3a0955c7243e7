"""Output as lines, from its beginning or from its end: no byte is lost, wherever it was cut."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasectl.last_lines import FARTHEST, LastLines
from releasectl.lines import Line, Lines
from releasephase.v1.release_event_pb2 import CommandOutput, ReleaseEvent
from support.story import BEGIN, Story, timestamp

STDOUT, STDERR = CommandOutput.STREAM_STDOUT, CommandOutput.STREAM_STDERR

pieces = st.lists(st.binary(max_size=6).map(lambda data: data.replace(b"a", b"\n")), max_size=12)


def everything(command_index: int | None, stream: CommandOutput.Stream.ValueType) -> bool:
    return True


def lines_of(events: Sequence[ReleaseEvent]) -> list[Line]:
    lines = Lines(everything)
    return [line for event in events for line in lines.feed(event)] + list(lines.finish())


def last_of(events: Sequence[ReleaseEvent], count: int, most_bytes: float = float("inf")) -> list[Line]:
    """The last lines, and how they are found: event by event, until they are there."""
    last = LastLines(count, everything, most_bytes)
    for event in reversed(events):
        if last.is_complete():
            break
        last.add(event)
    return last.lines()


def data_of(lines: Sequence[Line]) -> list[bytes]:
    return [line.data for line in lines]


@given(pieces)
def test_lines_are_those_of_the_bytes_however_they_were_cut(parts: Sequence[bytes]) -> None:
    """What comes out is what went in, split after its newlines."""
    story = Story("migrate")
    events = [story.output(0, part) for part in parts]
    expected = [line + b"\n" for line in b"".join(parts).split(b"\n")]
    expected[-1] = expected[-1][:-1]
    assert data_of(lines_of(events)) == [line for line in expected if line]


@given(pieces, st.integers(min_value=0, max_value=8))
def test_the_last_lines_are_the_last_of_all(parts: Sequence[bytes], count: int) -> None:
    """Whether they are found from the end or from the beginning is the same."""
    story = Story("migrate")
    events = [story.output(0, part) for part in parts]
    assert last_of(events, count) == (lines_of(events)[-count:] if count else [])


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.sampled_from([b"\n", b"x", b"x\n", b"x\ny"]))))
def test_no_byte_of_several_commands_and_streams_is_lost(parts: list[tuple[int, bool, bytes]]) -> None:
    """Also when the streams cut each other's lines, and no command ends with a newline."""
    story = Story("one", "two", "three")
    parts.sort(key=lambda part: part[0])
    events = [story.output(index, data, stderr=stderr) for index, stderr, data in parts]
    lines = lines_of(events)
    for index in range(3):
        for stderr in (False, True):
            stream = STDERR if stderr else STDOUT
            mine = [line.data for line in lines if (line.command_index, line.stream) == (index, stream)]
            assert b"".join(mine) == b"".join(data for i, e, data in parts if (i, e) == (index, stderr))
            assert all(data.endswith(b"\n") and data.count(b"\n") == 1 for data in mine[:-1])
    assert sorted(last_of(events, len(lines))) == sorted(lines)


def test_a_line_has_the_time_of_the_event_in_which_it_begins() -> None:
    """Not of the one that ends it, which may be much later."""
    story = Story("migrate")
    events = [story.output(0, b"one\ntw"), story.output(0, b"o\n"), story.output(0, b"three")]
    seconds = [line.time for line in lines_of(events)]
    assert seconds == [timestamp(BEGIN + timedelta(seconds=after)) for after in (1, 1, 3)]


def test_a_line_of_one_stream_is_not_cut_by_the_other() -> None:
    """Each is shown when it has ended."""
    story = Story("migrate")
    events = [story.output(0, b"out "), story.output(0, b"err\n", stderr=True), story.output(0, b"put\n")]
    assert data_of(lines_of(events)) == [b"err\n", b"out put\n"]


def test_a_line_ends_where_its_command_does() -> None:
    """The next command's output is another line, and so is what comes outside of every command."""
    story = Story("migrate", "check")
    lines = Lines(everything)
    assert list(lines.feed(story.output(None, b"hello"))) == []
    assert data_of(list(lines.feed(story.output(0, b"one")))) == [b"hello"]
    assert data_of(list(lines.feed(story.finished(0)))) == [b"one"]
    events = [story.output(0, b"one"), story.output(1, b"two")]
    assert [(line.command_index, line.data) for line in last_of(events, 2)] == [(0, b"one"), (1, b"two")]


@pytest.mark.parametrize("read", [lines_of, lambda events: last_of(events, 9)])
def test_what_is_missing_stands_between_lines(read: Callable[[Sequence[ReleaseEvent]], list[Line]]) -> None:
    """A line does not go on behind a gap, and the gap is no line."""
    story = Story("migrate")
    events = [
        story.output(0, b"one\ntw"),
        story.output(0, b"x\n", omitted_bytes=12),
        story.lost(0, "rotated\naway"),
        story.realigned(0, 3, 4),
    ]
    assert [(line.data, line.gap) for line in read(events)] == [
        (b"one\n", ""),
        (b"tw", ""),
        (b"", "12 bytes omitted"),
        (b"x\n", ""),
        (b"", "output is missing: rotated away"),
        (
            b"",
            "output may be missing: the engine's log lacks 3 bytes that are stored, and differs in 4 more",
        ),
    ]


def test_output_that_was_removed_is_told_once() -> None:
    """Of each command and stream, however many events had it; behind the oldest one nothing is looked for."""
    story = Story("migrate", "check")
    events = [story.pruned(0, 7), story.pruned(0, 7), story.pruned(1, 7), story.pruned(1, 9)]
    events += [story.pruned(1, 9, stderr=True), story.output(1, b"one\ntwo\n"), story.output(1, b"three\n")]
    removed = "output was removed by the retention of the audit log"
    assert [(line.command_index, line.stream, line.gap or line.data) for line in lines_of(events)] == [
        (0, STDOUT, removed),
        (1, STDOUT, removed),
        (1, STDERR, removed),
        (1, STDOUT, b"one\n"),
        (1, STDOUT, b"two\n"),
        (1, STDOUT, b"three\n"),
    ]
    assert [line.gap or line.data for line in last_of(events, 9)] == [removed, b"one\n", b"two\n", b"three\n"]


def test_gaps_are_not_counted_as_lines() -> None:
    """Who asks for two lines gets two."""
    story = Story("migrate")
    events = [story.output(0, b"one\n"), story.output(0, b"two\n", omitted_bytes=5), story.lost(0, "gone")]
    assert [line.data or line.gap for line in last_of(events, 2)] == [
        b"one\n",
        "5 bytes omitted",
        b"two\n",
        "output is missing: gone",
    ]
    assert data_of(last_of(events, 1)) == [b"two\n", b""]


def test_no_more_is_read_than_the_lines_need() -> None:
    """A long log stays where it is."""
    story = Story("migrate")
    events = [story.output(0, b"line %d\n" % number) for number in range(1000)]
    last = LastLines(20, everything)
    taken = 0
    while not last.is_complete():
        taken += 1
        last.add(events[-taken])
    assert taken == 21
    assert data_of(last.lines()) == [b"line %d\n" % number for number in range(980, 1000)]


def test_the_beginning_of_a_line_is_looked_for_behind_the_other_stream() -> None:
    """But not for ever: a traceback at the end of 200 MB of progress need not have them read."""
    for size, cut in ((FARTHEST // 2, False), (2 * FARTHEST, True)):
        story = Story("migrate")
        events = [
            story.output(0, b"half", stderr=True),
            *(story.output(0, b"x" * (size // 8) + b"\n") for _ in range(8)),
            story.output(0, b" a line\n", stderr=True),
        ]
        assert (last_of(events, 2)[-1].data == b" a line\n") is cut
        assert last_of(events, 9)[0].data == b"half a line\n"


def test_a_limit_of_bytes_ends_the_search() -> None:
    """What is bounded has to stay so, whatever a command wrote."""
    story = Story("migrate")
    events = [story.output(0, b"x" * 1000) for _ in range(100)]
    assert data_of(last_of(events, 1, most_bytes=3500)) == [b"x" * 4000]


def test_following_goes_on_with_the_line_that_has_not_ended() -> None:
    """It is no line before, and whole then."""
    story = Story("migrate")
    last = LastLines(1, everything)
    for event in reversed([story.output(0, b"one\n"), story.output(0, b"two\nthr")]):
        last.add(event)
    ended, unended = last.lines_so_far()
    assert (data_of(ended), data_of(unended)) == ([b"two\n"], [b"thr"])
    lines = Lines(everything)
    lines.resume(unended[0])
    (line,) = lines.feed(story.output(0, b"ee\n"))
    assert (line.data, line.time) == (b"three\n", unended[0].time)
