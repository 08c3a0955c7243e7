"""The seam: what of the engine's log is new, wherever what is stored ends, and however the two differ."""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.model.events import Body, OutputLost, OutputRealigned
from released.model.states import Stream
from released.release import seam
from released.release.journal import Journal
from released.release.output import OutputRecorder
from released.release.seam import HELD_BYTES, WINDOW_BYTES, Cursor, Seam, StoredPiece
from support.properties import deterministic

OUT, ERR = Stream.STDOUT, Stream.STDERR
ALTERED = "\N{REPLACEMENT CHARACTER}".encode()

repetitive = st.lists(st.sampled_from([b"a", b"b", b"\n"]), max_size=60).map(b"".join)


class Told(NamedTuple):
    """What a cursor took for new, and what it says that it had to do."""

    new: bytes
    missing_bytes: int = 0
    altered_bytes: int = 0
    lacks_head: bool = False


async def passing(pieces: Sequence[StoredPiece]) -> AsyncIterator[StoredPiece]:
    for piece in pieces:
        yield piece


async def told(stored: Sequence[StoredPiece], log: Sequence[bytes], may_lack_head: bool = False) -> Told:
    """Feed a log in chunks to a cursor, to its end."""
    cursor = Cursor(passing(stored), may_lack_head)
    new = b"".join([await cursor.feed(chunk) for chunk in log]) + cursor.finish()
    return Told(new, cursor.missing_bytes, cursor.altered_bytes, cursor.lacks_head)


def chunked(data: st.DataObject, whole: bytes) -> list[bytes]:
    """Cut bytes anywhere."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=12)))
    return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


def with_holes(data: st.DataObject, pieces: Sequence[bytes]) -> list[StoredPiece]:
    """Store some of the pieces, and only the length of the others, as the output cap does."""
    stored, omitted = [], 0
    for piece in pieces:
        if data.draw(st.booleans()):
            stored.append(StoredPiece(piece, omitted))
            omitted = 0
        else:
            omitted += len(piece)
    return [*stored, StoredPiece(b"", omitted)]


def lines(first: int, last: int) -> bytes:
    """Lines that are all different, of which none begins another."""
    return b"".join(b"line %03d\n" % number for number in range(first, last))


def split(log: bytes) -> list[bytes]:
    """The chunks in which the engine's log comes: whole lines."""
    return log.splitlines(keepends=True)


@deterministic
@given(repetitive, st.data())
async def test_what_follows_the_stored_is_new(truth: bytes, data: st.DataObject) -> None:
    """However both are cut, and however often the same bytes come again."""
    stored = truth[: data.draw(st.integers(0, len(truth)))]
    pieces = [StoredPiece(piece) for piece in chunked(data, stored)]
    assert await told(pieces, chunked(data, truth)) == Told(truth[len(stored) :])


@deterministic
@given(repetitive, st.data())
async def test_what_was_left_out_is_not_new(truth: bytes, data: st.DataObject) -> None:
    """The cap counted it: the log's bytes in its place are left out again."""
    stored = truth[: data.draw(st.integers(0, len(truth)))]
    pieces = with_holes(data, chunked(data, stored))
    assert await told(pieces, chunked(data, truth)) == Told(truth[len(stored) :])


@deterministic
@given(repetitive, st.data())
async def test_log_that_is_shorter_has_nothing_new(truth: bytes, data: st.DataObject) -> None:
    """The live streams were ahead of the engine's log: what follows comes by them."""
    log = truth[: data.draw(st.integers(0, len(truth)))]
    pieces = [StoredPiece(piece) for piece in chunked(data, truth)]
    assert await told(pieces, chunked(data, log)) == Told(b"")


@deterministic
@given(lost=st.integers(0, 10), stored=st.integers(10, 20), half=st.integers(0, 8))
async def test_lines_that_the_log_has_lost_are_passed_over(lost: int, stored: int, half: int) -> None:
    """An engine was killed before it wrote them; the line that follows has all of the half that is stored."""
    seen = lines(0, stored + 1)[: len(lines(0, stored)) + half]
    log = lines(0, lost) + lines(stored, 25)
    expected = lines(stored, 25)[half:]
    result = await told([StoredPiece(seen)], split(log))
    assert result.new == expected
    assert result.missing_bytes == len(lines(lost, stored))
    assert result.altered_bytes == 0


async def test_rest_of_a_line_whose_half_was_lost_is_new() -> None:
    """The engine was killed in the middle of a line, and reads on where the container writes on."""
    result = await told([StoredPiece(lines(0, 5) + b"line ")], split(lines(0, 3) + b"005\n" + lines(6, 9)))
    assert result == Told(b"005\n" + lines(6, 9), missing_bytes=len(lines(3, 5)) + 5)


async def test_gap_of_before_is_passed_over_again() -> None:
    """The log of an engine that was killed once: what is stored goes on behind the gap."""
    log = lines(0, 3) + b"005\n" + lines(6, 12)
    result = await told([StoredPiece(lines(0, 9))], split(log))
    assert result == Told(lines(9, 12), missing_bytes=len(lines(3, 6)), altered_bytes=4)


@pytest.mark.parametrize("new", [b"x\ny\n\nz\n", b"x\n" + lines(2, 3)])
async def test_new_lines_like_lost_ones_are_new(new: bytes) -> None:
    """Blank lines are everywhere: they are no reason to take the lines before them for altered ones."""
    lost = lines(2, 3) + b"\nend\n"
    result = await told([StoredPiece(lines(0, 2) + lost)], split(lines(0, 2) + new))
    assert result == Told(new, missing_bytes=len(lost))


@deterministic
@given(st.lists(st.booleans(), min_size=1, max_size=12), st.data())
async def test_altered_lines_keep_their_place(altered: list[bool], data: st.DataObject) -> None:
    """What the log's driver altered stays as it is stored, and nothing around it is lost or repeated."""
    truth = [b"%02d %s\n" % (i, b"\xff\xfe" if bad else b"good") for i, bad in enumerate(altered)]
    log = [line.replace(b"\xff\xfe", 2 * ALTERED) for line in truth]
    seam_in = data.draw(st.integers(0, len(truth) - 1))
    until = data.draw(st.integers(0, len(truth[seam_in])))
    if altered[seam_in]:
        until = 0
    stored = b"".join(truth[:seam_in]) + truth[seam_in][:until]
    result = await told([StoredPiece(stored)], log)
    assert result.new == (log[seam_in] + b"".join(log[seam_in + 1 :]))[until:]
    differing = [i for i in range(seam_in) if altered[i]]
    assert result.missing_bytes == sum(len(truth[i]) for i in differing)
    assert result.altered_bytes == sum(len(log[i]) for i in differing)


async def test_last_stored_line_may_be_an_altered_one() -> None:
    """Nothing of it comes a second time, not even where the seam is within a character."""
    line = "caf\N{LATIN SMALL LETTER E WITH ACUTE}\n".encode()
    assert await told([StoredPiece(b"\xff\n")], [ALTERED + b"\n", b"new\n"]) == Told(b"new\n", 2, 4)
    assert await told([StoredPiece(line[:4])], [line, b"new\n"]) == Told(line[4:] + b"new\n")


@deterministic
@given(st.integers(1, 30), st.integers(0, 20))
async def test_log_without_its_head_is_not_used(first: int, more: int) -> None:
    """Where it goes on can't be told from what is stored, which ends before: nothing is repeated for sure."""
    log = split(lines(40 + first, 60 + first + more))
    assert await told([StoredPiece(lines(0, 20))], log, may_lack_head=True) == Told(b"", lacks_head=True)


async def test_log_whose_head_is_there_is_used_whatever_it_lacks_later() -> None:
    """What may lack its head is held to nothing more than any other."""
    log = split(lines(0, 3) + b"other\n" + lines(4, 8))
    expected = Told(lines(6, 8), missing_bytes=len(lines(3, 4)), altered_bytes=6)
    assert await told([StoredPiece(lines(0, 6))], log, may_lack_head=True) == expected


async def test_another_log_is_new() -> None:
    """Nothing of it is known: it comes a second time rather than not at all."""
    log = split(lines(500, 520))
    assert await told([StoredPiece(lines(0, 10))], log) == Told(lines(500, 520), len(lines(0, 10)))


async def test_no_more_is_looked_through_than_the_window() -> None:
    """A line that is nowhere does not bring everything that is stored into memory."""
    loaded = 0

    async def endless() -> AsyncIterator[StoredPiece]:
        nonlocal loaded
        while True:
            loaded += 64 * 1024
            yield StoredPiece(b"x" * (64 * 1024 - 1) + b"\n")

    cursor = Cursor(endless())
    for _ in range(100):
        assert await cursor.feed(b"nowhere\n") == b""
    assert loaded <= WINDOW_BYTES + 64 * 1024


async def test_no_more_is_held_back_than_it_may_be() -> None:
    """Then all of it is new, in its order."""
    cursor = Cursor(passing([StoredPiece(b"x\n" * (WINDOW_BYTES // 2))] * 2))
    line = b"nowhere\n"
    for _ in range(HELD_BYTES // len(line)):
        assert await cursor.feed(line) == b""
    assert await cursor.feed(line) == line * (HELD_BYTES // len(line) + 1)
    assert await cursor.feed(line) == line
    assert cursor.finish() == b""


async def test_lines_that_are_no_longer_possible_are_not_held_back() -> None:
    """More lines than are stored: one of them at least is new, and so are all of them."""
    cursor = Cursor(passing([StoredPiece(b"a\nb\n")]))
    assert await cursor.feed(b"c\n") == b""
    assert await cursor.feed(b"d\n") == b"c\nd\n"


class Records:
    """A recorder and a journal that keep what they are told, and what is stored already."""

    def __init__(self, stored: dict[tuple[int | None, Stream], bytes]) -> None:
        self.stored = stored
        self.asked: list[tuple[int | None, Stream]] = []
        self.recorded: list[tuple[int | None, Stream, bytes]] = []
        self.noted: list[Body] = []

    def pieces(self, command_index: int | None, stream: Stream) -> AsyncIterator[StoredPiece]:
        self.asked.append((command_index, stream))
        return passing([StoredPiece(self.stored.get((command_index, stream), b""))])

    async def write(self, command_index: int | None, stream: Stream, data: bytes) -> None:
        self.recorded.append((command_index, stream, data))

    def note(self, *bodies: Body) -> None:
        self.noted += bodies

    def seam(self, finished: frozenset[int] = frozenset(), may_lack_head: bool = False) -> Seam:
        recorder, journal = cast(OutputRecorder, self), cast(Journal, self)
        return Seam(self.pieces, recorder, journal, finished, may_lack_head)


async def test_each_stream_of_each_command_has_a_seam_of_its_own() -> None:
    """One may be stored further than the other; and what no command wrote is output, too."""
    records = Records({(None, OUT): b"entry", (0, OUT): b"one\n", (0, ERR): b""})
    seam = records.seam()
    await seam.write(None, OUT, b"entrypoint\n")
    await seam.write(0, OUT, b"one\n")
    await seam.write(0, ERR, b"one\n")
    await seam.write(0, OUT, b"two\n")
    await seam.finish()
    assert records.recorded == [(None, OUT, b"point\n"), (0, ERR, b"one\n"), (0, OUT, b"two\n")]
    assert records.noted == []


async def test_output_of_a_finished_command_is_dropped() -> None:
    """It was stored before its result was: it is not even looked up."""
    records = Records({(1, OUT): b"a"})
    seam = records.seam(finished=frozenset({0}))
    await seam.write(0, OUT, b"all of it\n")
    await seam.write(1, OUT, b"ab")
    await seam.finish()
    assert (records.recorded, records.asked) == ([(1, OUT, b"b")], [(1, OUT)])


async def test_what_is_all_new_is_not_compared() -> None:
    """Until it is said that the log has it from its beginning."""
    records = Records({(0, OUT): b"one\n", (0, ERR): b"one\n"})
    seam = records.seam()
    seam.take_for_new(0, OUT)
    await seam.write(0, OUT, b"one\n")
    await seam.write(0, ERR, b"one\n")
    assert records.recorded == [(0, OUT, b"one\n")]
    seam.compare(0, OUT)
    await seam.write(0, OUT, b"one\ntwo\n")
    await seam.finish()
    assert records.recorded[1:] == [(0, OUT, b"two\n")]
    assert records.noted == []


async def test_realigning_is_noted_once() -> None:
    """With what was missing and what was altered in all, for each stream by itself."""
    records = Records({(0, OUT): b"\xff\na\n\xff\nb\n", (0, ERR): lines(0, 9), (1, OUT): b"c\n"})
    seam = records.seam()
    for line in (ALTERED + b"\n", b"a\n", ALTERED + b"\n", b"b\n", b"new\n"):
        await seam.write(0, OUT, line)
    await seam.write(0, ERR, lines(8, 10))
    await seam.write(1, OUT, b"c\n")
    await seam.finish()
    await seam.finish()
    assert records.noted == [
        OutputRealigned(stream=OUT, command_index=0, missing_bytes=4, altered_bytes=8),
        OutputRealigned(stream=ERR, command_index=0, missing_bytes=len(lines(0, 8))),
    ]
    assert records.recorded == [(0, OUT, b"new\n"), (0, ERR, lines(9, 10))]


async def test_lost_head_is_noted_once() -> None:
    """Nothing of the log is recorded then, of the stream whose head it is."""
    records = Records({(0, OUT): b"one\n", (0, ERR): b"one\n"})
    seam = records.seam(may_lack_head=True)
    await seam.write(0, OUT, b"eight\nnine\n")
    await seam.write(0, ERR, b"one\ntwo\n")
    await seam.finish()
    await seam.finish()
    [lost] = records.noted
    assert isinstance(lost, OutputLost)
    assert (lost.stream, lost.command_index) == (OUT, 0)
    assert records.recorded == [(0, ERR, b"two\n")]


async def test_what_was_held_back_is_recorded_at_the_end() -> None:
    """The log has no more: nothing that follows can show that it was altered."""
    records = Records({(0, OUT): b"one\ntwo\nthree\n"})
    seam = records.seam()
    await seam.write(0, OUT, b"other\n")
    assert records.recorded == []
    await seam.finish()
    assert records.recorded == [(0, OUT, b"other\n")]
    assert records.noted == [OutputRealigned(stream=OUT, command_index=0, missing_bytes=14)]


@pytest.mark.parametrize(
    ("line", "altered"),
    [
        (b"plain\n", b"plain\n"),
        ("\N{EURO SIGN}\n".encode(), "\N{EURO SIGN}\n".encode()),
        (b"\xff\x00\n", ALTERED + b"\x00\n"),
        (b"\xe2\x82\n", 2 * ALTERED + b"\n"),
        (b"\xed\xa0\x80\n", 3 * ALTERED + b"\n"),
        (b"\xf0\x9f\x92x\n", 3 * ALTERED + b"x\n"),
    ],
)
def test_every_byte_that_is_not_utf_8_is_replaced(line: bytes, altered: bytes) -> None:
    """One by one, as Go does it, and not by the longest beginning of a character."""
    assert seam.as_altered(line) == altered
