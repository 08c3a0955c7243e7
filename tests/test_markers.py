"""The parser that splits a stream into the supervisor's markers and output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.release.markers import Exited, Here, Marker, MarkerParser, Ready, Started
from support.properties import deterministic

NONCE = "0123456789abcdef0123456789abcdef"
OTHER_NONCE = "ffffffffffffffffffffffffffffffff"
HEAD = b"\x1e" + NONCE.encode() + b" "

Items = list[bytes | Marker]


def parse(*chunks: bytes) -> Items:
    """Parse chunks to their end, with neighbouring output joined: where it was cut says nothing."""
    parser = MarkerParser(NONCE)
    items: Items = []
    for chunk in chunks:
        items += parser.feed(chunk)
    return joined([*items, parser.finish()])


def joined(items: Items) -> Items:
    result: Items = []
    for item in items:
        if isinstance(item, bytes) and result and isinstance(result[-1], bytes):
            result[-1] += item
        elif item != b"":
            result.append(item)
    return result


def written(item: bytes | Marker) -> bytes:
    """The bytes that the supervisor writes for a marker; output as it is."""
    match item:
        case bytes():
            return item
        case Ready():
            return HEAD + b"ready\n"
        case Started(index):
            return HEAD + b"start %d\n" % index
        case Exited(index, status, is_stopped):
            return HEAD + b"exit %d %d%s\n" % (index, status, b" stopped" if is_stopped else b"")
        case Here(number):
            return HEAD + b"here %d\n" % number


indexes = st.integers(0, 10**6)
markers: st.SearchStrategy[Marker] = st.one_of(
    st.just(Ready()),
    st.builds(Started, indexes),
    st.builds(Exited, indexes, st.integers(0, 255), st.booleans()),
    st.builds(Here, indexes),
)
pieces_of_markers = st.sampled_from(
    [
        b"\x1e",
        b"\n",
        HEAD,
        HEAD[:-1],
        HEAD[:7],
        HEAD + b"exit 0 0",
        b"ready\n",
        b"\x1e" + OTHER_NONCE.encode() + b" exit 0 0\n",
        HEAD + b"start\n",
        HEAD + b"exit 0 0 0\n",
        HEAD + b"ready \n",
        HEAD + b"x" * 80 + b"\n",
    ]
)
output = st.one_of(st.binary(max_size=40), pieces_of_markers)
streams = st.lists(st.one_of(output, markers.map(written)), max_size=12).map(b"".join)


@deterministic
@given(streams, st.data())
def test_any_chunking_gives_what_one_chunk_gives(stream: bytes, data: st.DataObject) -> None:
    """Where the engine cuts the stream has no effect on what is found in it."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=20)))
    chunks = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert parse(*chunks) == parse(stream)


@deterministic
@given(streams)
def test_byte_by_byte_gives_what_one_chunk_gives(stream: bytes) -> None:
    """The smallest chunks that there are."""
    assert parse(*(bytes([byte]) for byte in stream)) == parse(stream)


@deterministic
@given(streams)
def test_output_and_markers_make_up_the_stream(stream: bytes) -> None:
    """No byte is lost, made up or out of order."""
    assert b"".join(written(item) for item in parse(stream)) == stream


@deterministic
@given(st.lists(st.one_of(markers, st.binary(min_size=1).filter(lambda data: b"\x1e" not in data))))
def test_every_marker_is_found_between_output(items: Items) -> None:
    """What the supervisor marked is read as it was meant, whatever is written around it."""
    assert parse(b"".join(map(written, items))) == joined(items)


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(b"\x1e" + OTHER_NONCE.encode() + b" exit 0 0\n", id="another nonce"),
        pytest.param(b"\x1eexit 0 0\n", id="no nonce"),
        pytest.param(HEAD[1:] + b"exit 0 0\n", id="no sign"),
        pytest.param(HEAD[:-1] + b"exit 0 0\n", id="no space"),
        pytest.param(HEAD.upper() + b"exit 0 0\n", id="upper case"),
        pytest.param(HEAD + b"exit 0\n", id="no status"),
        pytest.param(HEAD + b"exit -1 0\n", id="a negative index"),
        pytest.param(HEAD + b"exit 0 0 0\n", id="too many numbers"),
        pytest.param(HEAD + b"exit 0 0\r\n", id="a carriage return"),
        pytest.param(HEAD + b"stop 0\n", id="another word"),
        pytest.param(HEAD + b"exit 0 " + b"0" * 80 + b"\n", id="too long"),
        pytest.param(HEAD + b"ready", id="no end of line"),
    ],
)
def test_what_is_no_marker_to_the_byte_is_output(forged: bytes) -> None:
    """A command can write what it likes: without the nonce it ends nothing."""
    assert parse(b"before", forged) == [b"before" + forged]


def test_marker_within_a_false_start_is_found() -> None:
    """A command that ends in the middle of something like a marker does not hide the real one."""
    assert parse(HEAD + HEAD + b"exit 0 0\n") == [HEAD, Exited(0, 0)]


def test_marker_needs_no_line_of_its_own() -> None:
    """Output without a newline at its end is followed by the marker at once."""
    assert parse(b"done" + HEAD + b"exit 2 7\nnext") == [b"done", Exited(2, 7), b"next"]


def test_output_is_given_at_once() -> None:
    """A watcher sees a prompt without a newline; only what may be the head of a marker is held back."""
    parser = MarkerParser(NONCE)
    assert parser.feed(b"50 %\r") == [b"50 %\r"]
    assert parser.feed(b"99 %\x1e") == [b"99 %"]
    assert parser.feed(b"!") == [b"\x1e!"]
    assert parser.feed(b"end" + HEAD[:9]) == [b"end"]
    assert parser.finish() == HEAD[:9]


def test_what_is_held_back_is_bounded() -> None:
    """A head of a marker without an end is output as soon as it is longer than any marker."""
    parser = MarkerParser(NONCE)
    given_out = b"".join(item for item in parser.feed(HEAD + b"x" * 10_000) if isinstance(item, bytes))
    assert given_out == HEAD + b"x" * 10_000
    assert parser.finish() == b""
