"""The cap on a command's output: its head, the last 64 KiB, and how much is missing between them."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.model.states import Stream
from released.release import cap as cap_module
from released.release.cap import TAIL_BYTES, OutputCap, Piece
from support.properties import deterministic

OUT, ERR = Stream.STDOUT, Stream.STDERR

written = st.lists(st.tuples(st.sampled_from(Stream), st.binary(max_size=30)), max_size=30)


def through(cap_bytes: int, *pieces: tuple[Stream, bytes]) -> list[Piece]:
    cap = OutputCap(cap_bytes)
    stored = [stored for stream, data in pieces for stored in cap.admit(Piece(0, stream, data))]
    return [*stored, *cap.close()]


def merged(pieces: list[tuple[Stream, bytes]]) -> list[tuple[Stream, bytes]]:
    """Bytes one by one: the same for every chunking."""
    return [(stream, data[i : i + 1]) for stream, data in pieces for i in range(len(data))]


@deterministic
@given(written, st.integers(0, 200), st.integers(1, 200))
def test_head_omitted_bytes_and_tail_account_for_everything(
    pieces: list[tuple[Stream, bytes]], cap_bytes: int, tail_bytes: int
) -> None:
    """For each stream, what is stored is a head and a tail of it, and what is missing is counted between."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cap_module, "TAIL_BYTES", tail_bytes)
        stored = through(cap_bytes, *pieces)
    for stream in Stream:
        whole = b"".join(data for piece_stream, data in pieces if piece_stream is stream)
        rebuilt = b""
        for piece in stored:
            if piece.stream is stream:
                missing = whole[len(rebuilt) : len(rebuilt) + piece.omitted_bytes]
                assert len(missing) == piece.omitted_bytes
                rebuilt += missing + piece.data
        assert rebuilt == whole
    total = sum(len(data) for _, data in pieces)
    kept = sum(len(piece.data) for piece in stored)
    assert kept == min(total, cap_bytes + tail_bytes)


@deterministic
@given(written, st.integers(0, 200), st.integers(1, 200))
def test_chunking_has_no_effect(pieces: list[tuple[Stream, bytes]], cap_bytes: int, tail_bytes: int) -> None:
    """The same bytes in the same order are kept, however they were cut on their way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cap_module, "TAIL_BYTES", tail_bytes)
        at_once = through(cap_bytes, *pieces)
        byte_by_byte = through(cap_bytes, *merged(pieces))
    assert [(piece.stream, piece.data) for piece in byte_by_byte if piece.data] == merged(
        [(piece.stream, piece.data) for piece in at_once]
    )
    assert omitted(byte_by_byte) == omitted(at_once)


def omitted(pieces: list[Piece]) -> Counter[Stream]:
    counted: Counter[Stream] = Counter()
    for piece in pieces:
        counted[piece.stream] += piece.omitted_bytes
    return counted


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_output_up_to_the_cap_is_untouched(size: int) -> None:
    """Both streams together are within the cap, so nothing waits for the end."""
    cap = OutputCap(10)
    data = b"x" * size
    assert list(cap.admit(Piece(3, ERR, data))) == ([Piece(3, ERR, data)] if data else [])
    assert list(cap.close()) == []


def test_output_just_beyond_the_cap_loses_nothing() -> None:
    """What exceeds the cap by no more than the tail comes at the end, and nothing is said to be missing."""
    data = b"x" * (10 + TAIL_BYTES)
    assert through(10, (OUT, data)) == [Piece(0, OUT, data[:10]), Piece(0, OUT, data[10:])]


def test_one_byte_more_is_omitted_and_counted() -> None:
    """From the middle: the head and the end say what happened."""
    data = b"a" * 10 + b"b" + b"c" * TAIL_BYTES
    assert through(10, (OUT, data)) == [
        Piece(0, OUT, b"a" * 10),
        Piece(0, OUT, b"c" * TAIL_BYTES, omitted_bytes=1),
    ]


def test_stream_without_a_tail_still_says_what_it_lost() -> None:
    """Its bytes were pushed out by the other stream's: an empty piece has the count."""
    stored = through(0, (ERR, b"lost"), (OUT, b"x" * TAIL_BYTES))
    assert stored == [Piece(0, OUT, b"x" * TAIL_BYTES), Piece(0, ERR, b"", omitted_bytes=4)]


def test_closed_cap_yields_nothing_more() -> None:
    """A tail is stored once."""
    cap = OutputCap(0)
    list(cap.admit(Piece(0, OUT, b"tail")))
    assert list(cap.close()) == [Piece(0, OUT, b"tail")]
    assert list(cap.close()) == []


def test_tail_takes_no_more_memory_than_it_keeps() -> None:
    """A gigabyte in pieces leaves 64 KiB behind."""
    cap = OutputCap(0)
    piece = Piece(0, OUT, b"x" * TAIL_BYTES)
    for _ in range(1000):
        assert list(cap.admit(piece)) == []
        assert sum(len(kept.data) for kept in cap._tail) == TAIL_BYTES
    (tail,) = cap.close()
    assert tail.omitted_bytes == 999 * TAIL_BYTES
