"""A session with a container that ran while nobody was attached: its log, the seam, and its live streams."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.engine.attachment import Attachment, Chunk
from released.engine.engine import Engine
from released.model.events import Body
from released.model.states import Stream
from released.release import resumed
from released.release.journal import Journal
from released.release.masking.masking import Mask
from released.release.output import OutputRecorder
from released.release.resumed import ResumedStreams
from released.release.seam import LACKS_HEAD, Seam, StoredPiece
from released.release.session import CommandEnd, Session
from support.properties import deterministic
from support.scripted_container import NONCE, ScriptedAttachment, ScriptedEngine, Written, mark, out

OUT, ERR = Stream.STDOUT, Stream.STDERR

Outputs = dict[tuple[int | None, Stream], bytes]


class Records:
    """A recorder and a journal that keep what they are told, and what is stored already."""

    def __init__(self, stored: Outputs) -> None:
        self.stored = stored
        self.recorded: defaultdict[tuple[int | None, Stream], bytes] = defaultdict(bytes)
        self.noted: list[Body] = []
        self.lost: list[tuple[Stream, str]] = []

    async def write(self, command_index: int | None, stream: Stream, data: bytes) -> None:
        self.recorded[command_index, stream] += data

    def note(self, *bodies: Body) -> None:
        self.noted += bodies

    async def pieces(self, command_index: int | None, stream: Stream) -> AsyncIterator[StoredPiece]:
        if data := self.stored.get((command_index, stream)):
            yield StoredPiece(data)

    @asynccontextmanager
    async def session(
        self,
        engine: ScriptedEngine,
        attachment: ScriptedAttachment | None,
        running: int | None = None,
        finished: frozenset[int] = frozenset(),
        secrets: Sequence[str] = (),
    ) -> AsyncIterator[Session]:
        """A session such as `opened_session` makes of a container with a supervisor that has been ready."""
        recorder = cast(OutputRecorder, self)
        seam = Seam(self.pieces, recorder, cast(Journal, self), finished, may_lack_head=False)

        def on_lost(stream: Stream, reason: str) -> None:
            self.lost.append((stream, reason))
            session.lose_place(stream, running)

        attached = cast(Attachment, attachment) if attachment else None
        source = ResumedStreams(
            cast(Engine, engine), "container", NONCE, attached, on_lost, has_been_ready=True
        )
        maskers = {stream: Mask(secrets).masker() for stream in Stream}
        session = Session(source, recorder, maskers, seam)
        try:
            yield session
        finally:
            await session.close()


def silent(live: Written) -> ScriptedAttachment:
    """An attachment that has this, and goes on without a word."""
    attachment = ScriptedAttachment()
    attachment.coming = asyncio.Queue()
    for chunk in live:
        attachment.coming.put_nowait(chunk)
    return attachment


@pytest.fixture(autouse=True, scope="module")
def _no_pauses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resumed, "FIRST_PAUSE", 0.0)
        patch.setattr(resumed, "COST_FACTOR", 0)
        yield


async def test_command_whose_start_the_log_has_is_compared_although_the_head_is_lost() -> None:
    """What is stored of it is not recorded a second time; what comes by the live streams is."""
    log = [*out(b"rest of 0\n"), *mark("exit 0 0"), *mark("start 1"), *out(b"one\n", b"two\n", b"three\n")]
    live = [*mark("here 0"), *out(b"live\n"), *mark("exit 1 0")]
    records = Records({(0, OUT): b"all of 0\n", (1, OUT): b"one\ntwo\n"})
    engine, attachment = ScriptedEngine([*log, *live]), ScriptedAttachment(live)
    async with records.session(engine, attachment, running=1, finished=frozenset({0})) as session:
        await session.finished()
        assert session.known_end(1) is not None
    assert records.lost == [(OUT, LACKS_HEAD), (ERR, LACKS_HEAD)]
    assert records.recorded == {(1, OUT): b"three\nlive\n"}


async def test_what_is_held_back_is_recorded_before_an_exit_counts() -> None:
    """Once a command's end is known, all of its output is: also behind a line that its log has altered."""
    log = [*mark("ready"), *mark("start 0"), *out(b"one ?\n", b"new\n"), *mark("exit 0 0"), *mark("here 0")]
    records = Records({(0, OUT): b"one \xff\ntwo\nthree\n"})
    async with records.session(ScriptedEngine(log), silent(mark("here 0")), running=0) as session:
        end = await session.end_of(0)
        assert records.recorded == {(0, OUT): b"one ?\nnew\n"}
    assert isinstance(end, CommandEnd)


async def test_what_no_command_wrote_is_compared_across_markers() -> None:
    """It goes on behind them: a line that differs is no reason to record the stored ones after it again."""
    log = [*mark("ready"), *out(b"one ?\n"), *mark("start 0"), *mark("exit 0 0"), *out(b"two\n", b"three\n")]
    live = [*mark("here 0"), *out(b"live\n")]
    records = Records({(None, OUT): b"one !\ntwo\n"})
    async with records.session(ScriptedEngine([*log, *live]), ScriptedAttachment(live)) as session:
        await session.finished()
    assert records.recorded == {(None, OUT): b"three\nlive\n"}


class Crash(NamedTuple):
    """What a container has written, all lines different, and where it was when the daemon was killed."""

    written: list[Chunk]
    stored: list[Chunk]
    running: int


@st.composite
def crashed(draw: st.DrawFn) -> Crash:
    """It gets on with up to three commands; after the crash, with no other than the one that was let go."""
    running = draw(st.integers(0, 2))
    numbers = iter(range(1000))

    def some() -> list[Chunk]:
        streams_of = draw(st.lists(st.sampled_from(Stream), max_size=5))
        return [Chunk(stream, b"%d\n" % next(numbers)) for stream in streams_of]

    written = [*some(), *mark("ready"), *some()]
    for index in range(running):
        written += [*mark(f"start {index}"), *some(), *mark(f"exit {index} 0"), *some()]
    least = len(written)
    written += [*mark(f"start {running}"), *some()]
    if draw(st.booleans()):
        written += [*mark(f"exit {running} 0"), *some()]
    return Crash(written, written[: draw(st.integers(least, len(written)))], running)


def lines_by_command(written: Written) -> Outputs:
    """What whoever was attached all the time makes of it."""
    command: dict[Stream, int | None] = dict.fromkeys(Stream)
    outputs: defaultdict[tuple[int | None, Stream], bytes] = defaultdict(bytes)
    for stream, data in written:
        match data.split():
            case [_, b"start", index]:
                command[stream] = int(index)
            case [_, b"ready"] | [_, b"exit", _, _]:
                command[stream] = None
            case [_]:
                outputs[command[stream], stream] += data
    return outputs


@deterministic
@given(crashed(), st.data())
async def test_nothing_is_recorded_twice_whatever_of_its_head_the_log_has_lost(
    crash: Crash, data: st.DataObject
) -> None:
    """Nor out of its order, nor as another command's output than it is."""
    asked = [*crash.written, *mark("here 0")]
    lost = data.draw(st.integers(0, len(crash.written)))
    attached_at = data.draw(st.integers(max(lost, len(crash.stored)), len(crash.written)))
    live = [*asked[attached_at:], *out(b"9999\n")]
    records = Records(lines_by_command(crash.stored))
    finished = frozenset(range(crash.running))
    engine, attachment = ScriptedEngine([*asked[lost:], *out(b"9999\n")]), ScriptedAttachment(live)
    async with records.session(engine, attachment, crash.running, finished) as session:
        await session.finished()
    truth = lines_by_command([*asked, *out(b"9999\n")])
    for key, recorded in records.recorded.items():
        stored = records.stored.get(key, b"")
        everything = (stored + recorded).splitlines()
        assert sorted(set(everything), key=int) == everything
        assert set(recorded.splitlines()) <= set(truth[key].splitlines())


SECRETS = ["correct horse battery", "battery staple", "aaaaaaaa"]
PARTS = [b"correct ", b"horse ", b"battery", b" staple", b"aaaa", b"\n", b"> "]


def masked(*pieces: bytes) -> bytes:
    """What is certain after these, of a stream that goes on."""
    masker = Mask(SECRETS).masker()
    return b"".join(masker.feed(piece) for piece in pieces)


@deterministic
@given(st.lists(st.sampled_from(PARTS), max_size=20), st.data())
async def test_masked_output_is_joined_in_the_middle_of_secrets(
    pieces: list[bytes], data: st.DataObject
) -> None:
    """Wherever the daemon was killed, and wherever the live streams begin: nothing is lost or repeated."""
    killed_at = data.draw(st.integers(0, len(pieces)))
    attached_at = data.draw(st.integers(killed_at, len(pieces)))
    end = [*out(b".\n"), *mark("exit 0 0")]
    live = [*mark("here 0"), *out(*pieces[attached_at:]), *end]
    logged = live[
        : data.draw(st.integers(2, len(live)))
    ]  # as far as the first of the live streams, or further
    written = [*mark("ready"), *mark("start 0"), *out(*pieces[:attached_at]), *logged]
    stored = masked(*pieces[:killed_at])
    records = Records({(0, OUT): stored} if stored else {})
    async with records.session(
        ScriptedEngine(written), ScriptedAttachment(live), running=0, secrets=SECRETS
    ) as session:
        await session.finished()
        assert session.known_end(0)
    assert stored + records.recorded[0, OUT] == masked(*pieces, b".\n")
    assert (records.noted, records.lost) == ([], [])


async def test_what_was_let_out_at_the_end_is_not_recorded_again() -> None:
    """The daemon was killed after that, and before the result was stored: the log ends in the same way."""
    written = [*mark("ready"), *mark("start 0"), *out(b"it is corr")]
    records = Records({(0, OUT): b"it is corr"})
    async with records.session(ScriptedEngine(written), None, running=0, secrets=SECRETS) as session:
        await session.finished()
        await session.ended()
    assert (dict(records.recorded), records.noted) == ({}, [])


async def test_what_was_held_back_is_let_out_once_the_container_has_ended() -> None:
    """The daemon was killed while it held that back; what is stored ends before it."""
    written = [*mark("ready"), *mark("start 0"), *out(b"it is corr")]
    records = Records({(0, OUT): b"it is "})
    async with records.session(ScriptedEngine(written), None, running=0, secrets=SECRETS) as session:
        await session.finished()
        assert not records.recorded
        await session.ended()
    assert (records.recorded, records.noted) == ({(0, OUT): b"corr"}, [])
