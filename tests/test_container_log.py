"""The decoder of the engine's log: what the container wrote, out of frames, times and cut lines."""

from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.engine.container_log import PIECE_BYTES, LogDecoder, LoggedChunk
from released.engine.errors import EngineRefused
from released.model.states import Stream
from support.properties import deterministic

OUT, ERR = Stream.STDOUT, Stream.STDERR
NUMBERS = {OUT: 1, ERR: 2}
SYSTEM_ERROR = 3

DROPPING, KEEPING = "local", "json-file"
"""What becomes of the newline that ends a line which the engine has cut."""


class Entry(NamedTuple):
    """What the engine's log has of a stream, and when the engine read it."""

    stream: Stream
    data: bytes
    time: str = "2026-01-01T00:00:00.000000000Z"


def pieces(line: bytes) -> list[bytes]:
    """Cut a line as the engine does, which gives out its buffer of 16 KiB when there is no newline in it."""
    cut = [line[start : start + PIECE_BYTES] for start in range(0, len(line), PIECE_BYTES)]
    return cut or [b""]


def logged(line: bytes, driver: str) -> list[bytes]:
    """The entries of a line in the log of a driver."""
    *heads, last = pieces(line)
    return [*heads, last.removesuffix(b"\n") if heads and driver == DROPPING else last]


def frame(entry: Entry) -> bytes:
    """An entry as the engine sends it, with its time."""
    body = entry.time.encode() + b" " + entry.data
    return bytes([NUMBERS[entry.stream], 0, 0, 0]) + len(body).to_bytes(4, "big") + body


def decoded(chunks: Sequence[bytes]) -> list[LoggedChunk]:
    decoder = LogDecoder()
    return [logged for chunk in chunks for logged in decoder.feed(chunk)]


def of(stream: Stream, chunks: Sequence[LoggedChunk]) -> bytes:
    return b"".join(chunk.data for chunk in chunks if chunk.stream is stream)


def chunked(data: st.DataObject, whole: bytes) -> list[bytes]:
    """Cut bytes anywhere."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=12)))
    return [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]


sizes = st.one_of(
    st.integers(0, 3),
    st.builds(lambda times, more: times * PIECE_BYTES + more, st.integers(1, 3), st.integers(-2, 2)),
)
text = st.builds(lambda size, byte: byte * size, sizes, st.sampled_from([b"x", b"\xff", b"\x1e", b"\0"]))
lines = st.lists(st.tuples(st.sampled_from(Stream), text.map(lambda line: line + b"\n")), max_size=8)


@deterministic
@given(lines, st.sampled_from([DROPPING, KEEPING]), st.data())
async def test_decoded_bytes_are_those_written(
    written: list[tuple[Stream, bytes]], driver: str, data: st.DataObject
) -> None:
    """Of lines of any length, on both streams, with the newlines that the driver drops, however sent."""
    entries = [Entry(stream, piece) for stream, line in written for piece in logged(line, driver)]
    chunks = decoded(chunked(data, b"".join(map(frame, entries))))
    for stream in Stream:
        assert of(stream, chunks) == b"".join(line for its, line in written if its is stream)


@deterministic
@given(lines, st.binary(min_size=1, max_size=9).filter(lambda rest: b"\n" not in rest), st.data())
async def test_last_line_of_a_container_needs_no_newline(
    written: list[tuple[Stream, bytes]], rest: bytes, data: st.DataObject
) -> None:
    """It is in the log once the container has ended, as it is."""
    entries = [Entry(stream, piece) for stream, line in written for piece in logged(line, DROPPING)]
    chunks = decoded(chunked(data, b"".join(map(frame, [*entries, Entry(OUT, rest)]))))
    assert of(OUT, chunks).endswith(rest)


def timed(*entries: tuple[Stream, bytes]) -> Iterator[Entry]:
    """Entries of which each was read at another second."""
    for second, (stream, data) in zip(count(), entries, strict=False):
        yield Entry(stream, data, f"2026-01-01T00:00:{second:02}.000000000Z")


def test_entry_with_a_marker_has_its_own_time() -> None:
    """How long a command took is told by it, when nobody was attached."""
    entries = list(
        timed((OUT, b"a\n"), (OUT, b"\x1emark\n"), (OUT, b"b\n"), (OUT, b"c\n"), (ERR, b"\x1emark\n"))
    )
    chunks = decoded([b"".join(map(frame, entries))])
    assert [(chunk.data, chunk.time) for chunk in chunks] == [
        (b"a\n", entries[0].time),
        (b"\x1emark\n", entries[1].time),
        (b"b\nc\n", entries[3].time),
        (b"\x1emark\n", entries[4].time),
    ]


def test_time_may_be_of_any_zone() -> None:
    """The engine writes its own zone's, as an offset if that is not UTC."""
    time = "2026-01-01T00:00:00.000000000+01:00"
    assert decoded([frame(Entry(OUT, b"a b\n", time))]) == [LoggedChunk(OUT, b"a b\n", time)]


def test_neighbours_are_one_chunk() -> None:
    """Many short lines are no more work than one long one."""
    entries = [Entry(OUT, b"%d\n" % number) for number in range(1000)]
    assert decoded([b"".join(map(frame, entries))]) == [
        LoggedChunk(OUT, b"".join(entry.data for entry in entries), entries[0].time)
    ]


def test_cut_line_of_one_stream_does_not_concern_the_other() -> None:
    """Their pieces come between each other."""
    half = b"x" * PIECE_BYTES
    entries = [Entry(OUT, half), Entry(ERR, b"short"), Entry(OUT, b"end"), Entry(ERR, b"er\n")]
    chunks = decoded([b"".join(map(frame, entries))])
    assert (of(OUT, chunks), of(ERR, chunks)) == (half + b"end\n", b"shorter\n")


def test_frame_is_complete_before_it_is_given() -> None:
    """A response that is cut gives no half of an entry."""
    whole = frame(Entry(OUT, b"line\n"))
    assert decoded([whole[:-1]]) == []
    assert decoded([whole[:3]]) == []


def test_damaged_log_is_an_error_in_the_words_of_the_engine() -> None:
    """The engine says so on a stream of its own, without a time; what came before is good."""
    words = b"Error grabbing logs: unexpected EOF\n"
    damage = bytes([SYSTEM_ERROR, 0, 0, 0]) + len(words).to_bytes(4, "big") + words
    decoder = LogDecoder()
    given_out = decoder.feed(frame(Entry(OUT, b"good\n")) + damage)
    assert next(given_out).data == b"good\n"
    with pytest.raises(EngineRefused, match="Error grabbing logs: unexpected EOF"):
        next(given_out)
