"""The dialogue with the supervisor: gates one way, markers the other, output to the recorder."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import cast

import pytest

from released.engine.attachment import Attachment, Chunk
from released.engine.errors import EngineUnreachable
from released.errors import ResourceExhausted
from released.model.states import Stream
from released.release.journal import Journal
from released.release.markers import Exited, Here, Marker, Started
from released.release.masking.masking import Mask
from released.release.output import OutputRecorder
from released.release.seam import Seam, Stored, StoredPiece
from released.release.session import CommandEnd, Session
from released.release.streams import Item, LiveStreams

OUT, ERR = Stream.STDOUT, Stream.STDERR
NONCE = "0123456789abcdef0123456789abcdef"
END = object()
LOGGED = "2026-01-01T00:00:00.000000000Z"


def marker(words: str) -> bytes:
    return f"\x1e{NONCE} {words}\n".encode()


class Container:
    """An attachment whose container writes what the test says, and a recorder of what comes of it."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[Chunk | Exception | object] = asyncio.Queue()
        self.written: list[bytes] = []
        self.recorded: list[tuple[int | None, Stream, bytes]] = []
        self.recorder_error: Exception | None = None

    async def chunks(self) -> AsyncIterator[Chunk]:
        while (item := await self.coming.get()) is not END:
            if isinstance(item, Exception):
                raise item
            yield cast(Chunk, item)

    async def write(self, data: bytes) -> None:
        """What the session writes to the container."""
        self.written.append(data)

    def send(self, stream: Stream, *data: bytes) -> None:
        for piece in data:
            self.coming.put_nowait(Chunk(stream, piece))

    def mark(self, words: str) -> None:
        """Write a marker to both streams, as the supervisor does."""
        self.send(OUT, marker(words))
        self.send(ERR, marker(words))

    def end(self, error: Exception | None = None) -> None:
        self.coming.put_nowait(error or END)

    def session(
        self, source: "Telling | None" = None, stored: Stored | None = None, secrets: Sequence[str] = ()
    ) -> AbstractAsyncContextManager[Session]:
        container = self

        class Recorder:
            async def write(self, index: int | None, stream: Stream, data: bytes) -> None:
                if container.recorder_error:
                    raise container.recorder_error
                container.recorded.append((index, stream, data))

        @asynccontextmanager
        async def opened() -> AsyncIterator[Session]:
            live = LiveStreams(cast(Attachment, self), NONCE)
            recorder, journal = cast(OutputRecorder, Recorder()), cast(Journal, None)
            seam = Seam(stored, recorder, journal, frozenset(), False) if stored else None
            maskers = {stream: Mask(secrets).masker() for stream in Stream}
            session = Session(source or live, recorder, maskers, seam)
            try:
                yield session
            finally:
                await session.close()

        return opened()


class Telling:
    """A source that tells some items, and has an error or its end then."""

    def __init__(self, *told: Item, error: Exception | None = None) -> None:
        self.told = told
        self.error = error
        self.was_cut = False
        self.caught_up = asyncio.Event()

    async def items(self) -> AsyncGenerator[Item, None]:
        for item in self.told:
            yield item
        if self.error:
            raise self.error

    async def write(self, data: bytes) -> None:
        raise NotImplementedError


@pytest.fixture
def container() -> Container:
    return Container()


async def still_waits(work: "asyncio.Task[object]", container: Container) -> bool:
    """Whether something waits when the session has read all there is."""
    while not container.coming.empty():  # noqa: ASYNC110 - until it is read
        await asyncio.sleep(0)
    await asyncio.wait({work}, timeout=0)
    return not work.done()


async def test_secret_is_masked_across_chunks_and_places(container: Container) -> None:
    """A marker that only says where the streams are may come in the middle of one."""
    async with container.session(secrets=["correct horse"]) as session:
        container.mark("start 0")
        container.send(OUT, b"it is corr", marker("here 0"), b"ect ho", b"rse, ok\n")
        container.mark("exit 0 0")
        await session.end_of(0)
    assert b"".join(data for _, _, data in container.recorded) == b"it is ***, ok\n"


async def test_what_a_secret_could_begin_with_is_recorded_before_an_exit_counts(container: Container) -> None:
    """And is its command's output, since no more of it can come. The other stream's is its own."""
    async with container.session(secrets=["correct horse"]) as session:
        container.mark("start 0")
        container.send(OUT, b"that's correct")
        container.send(ERR, b" horse", b" cor")
        container.mark("exit 0 0")
        await session.end_of(0)
    assert container.recorded == [
        (0, OUT, b"that's "),
        (0, ERR, b" horse"),
        (0, ERR, b" "),
        (0, OUT, b"correct"),
        (0, ERR, b"cor"),
    ]


async def test_head_of_a_secret_is_not_let_out_when_the_streams_end(container: Container) -> None:
    """A connection that was cut ends as well: only once the container is known to have ended, it is."""
    async with container.session(secrets=["correct horse"]) as session:
        container.mark("start 0")
        container.send(OUT, b"it is corr")
        container.end()
        assert await session.end_of(0) is None
        assert container.recorded == [(0, OUT, b"it is ")]
        await session.ended()
        assert container.recorded == [(0, OUT, b"it is "), (0, OUT, b"corr")]
        await session.ended()
    assert len(container.recorded) == 2


async def test_head_of_a_secret_is_not_let_out_after_a_lost_connection(container: Container) -> None:
    """Whatever became of the container: the rest of the secret may have come since."""
    async with container.session(secrets=["correct horse"]) as session:
        container.mark("start 0")
        container.send(OUT, b"it is corr")
        container.end(EngineUnreachable("gone"))
        assert await session.end_of(0) is None
        await session.ended()
    assert container.recorded == [(0, OUT, b"it is ")]


async def test_closed_session_drops_what_it_held(container: Container) -> None:
    """The next daemon finds it in the engine's log."""
    async with container.session(secrets=["correct horse"]) as session:
        container.send(OUT, b"it is corr")
        container.mark("here 0")
        while not container.recorded:  # noqa: ASYNC110 - until it is read
            await asyncio.sleep(0)
        await session.close()
        await session.ended()
    assert container.recorded == [(None, OUT, b"it is ")]


async def test_supervisor_is_ready_when_it_says_so_on_both_streams(container: Container) -> None:
    """Then all that the entrypoint wrote before it has come, too."""
    async with container.session() as session:
        ready = asyncio.create_task(session.ready())
        container.send(OUT, b"entrypoint\n", marker("ready"))
        assert await still_waits(cast("asyncio.Task[object]", ready), container)
        container.send(ERR, b"warning\n", marker("ready"))
        assert await ready
    assert container.recorded == [(None, OUT, b"entrypoint\n"), (None, ERR, b"warning\n")]


async def test_exit_status_is_known_when_both_streams_have_it(container: Container) -> None:
    """Then all that the command wrote has been recorded."""
    async with container.session() as session:
        container.mark("ready")
        container.mark("start 0")
        status = asyncio.create_task(session.end_of(0))
        container.send(OUT, b"out", marker("exit 0 3"))
        assert await still_waits(cast("asyncio.Task[object]", status), container)
        container.send(ERR, b"err", marker("exit 0 3"))
        assert await status == CommandEnd(3)
    assert container.recorded == [(0, OUT, b"out"), (0, ERR, b"err")]


async def test_each_stream_tells_by_itself_whose_output_it_is(container: Container) -> None:
    """One may be far ahead of the other."""
    async with container.session() as session:
        container.send(
            OUT, marker("ready"), marker("start 0"), b"a", marker("exit 0 0"), marker("start 1"), b"b"
        )
        container.send(ERR, marker("ready"), b"none", marker("start 0"), b"c", marker("exit 0 0"), b"between")
        assert await session.end_of(0) == CommandEnd(0)
        container.end()
        await session.ended()
    assert container.recorded == [
        (0, OUT, b"a"),
        (1, OUT, b"b"),
        (None, ERR, b"none"),
        (0, ERR, b"c"),
        (None, ERR, b"between"),
    ]


async def test_status_that_came_before_it_was_asked_for(container: Container) -> None:
    """It is kept."""
    async with container.session() as session:
        for words in ("ready", "start 0", "exit 0 0", "start 1", "exit 1 9"):
            container.mark(words)
        assert await session.end_of(1) == CommandEnd(9)
        assert await session.end_of(0) == CommandEnd(0)
        assert await session.ready()


@pytest.mark.parametrize("error", [None, EngineUnreachable("gone")])
async def test_end_of_the_streams_is_not_taken_for_the_end_of_a_command(
    container: Container, error: Exception | None
) -> None:
    """Whether it was an end or a lost connection: the engine must say."""
    async with container.session() as session:
        container.send(OUT, marker("ready"), marker("start 0"), b"half", marker("exit 0 0")[:20])
        container.end(error)
        assert await session.end_of(0) is None
        assert not await session.ready()
        await session.ended()
    # Of a marker that was cut off, nothing is output.
    assert container.recorded == [(0, OUT, b"half")]


async def test_last_byte_may_be_like_the_first_of_a_marker(container: Container) -> None:
    """It is the command's as long as no nonce follows."""
    async with container.session() as session:
        container.send(OUT, marker("ready"), marker("start 0"), b"half\x1e")
        container.end()
        await session.ended()
    assert container.recorded == [(0, OUT, b"half"), (0, OUT, b"\x1e")]


async def test_error_of_the_log_reaches_whoever_waits(container: Container) -> None:
    """The release ends with it: output that can't be stored is not dropped."""
    container.recorder_error = ResourceExhausted("AUDIT_DISK_FULL", "no room")
    async with container.session() as session:
        container.send(OUT, b"lost")
        with pytest.raises(ResourceExhausted, match="no room"):
            await session.ready()
        with pytest.raises(ResourceExhausted, match="no room"):
            await session.end_of(0)


async def test_log_that_can_not_be_read_to_its_end_is_no_end_of_the_streams(container: Container) -> None:
    """How a command ended may stand in the part that is missing: whoever waits has to ask again."""
    source = Telling(Item(OUT, b"half", LOGGED), error=EngineUnreachable("gone"))
    async with container.session(source) as session:
        for waiting in (session.caught_up, session.ready, session.finished):
            with pytest.raises(EngineUnreachable, match="gone"):
                await waiting()
        with pytest.raises(EngineUnreachable, match="gone"):
            await session.end_of(0)
        await session.ended()


async def test_exit_that_one_stream_has_lost_counts_once_both_are_past_it(container: Container) -> None:
    """The engine's log of the other one has a gap there; its time is that of the one that has it."""
    here = [Item(stream, Here(0), LOGGED) for stream in Stream]
    async with container.session(Telling(Item(ERR, Exited(0, 3), LOGGED), *here)) as session:
        end = await session.end_of(0)
        assert end is not None
        assert (end.status, end.time) == (3, datetime(2026, 1, 1, tzinfo=UTC))
    async with container.session(Telling(here[0], Item(ERR, Exited(0, 3), LOGGED))) as session:
        assert await session.end_of(0) is None


async def test_output_whose_start_is_lost_is_of_the_command_that_runs(container: Container) -> None:
    """Until a marker says otherwise; its gate may be opened again, since its start was not seen."""
    told = [Item(OUT, b"a"), Item(OUT, Exited(3, 0)), Item(OUT, b"b")]
    async with container.session(Telling(*told)) as session:
        session.lose_place(OUT, 3)
        await session.finished()
        assert not session.has_started(3)
    assert container.recorded == [(3, OUT, b"a"), (None, OUT, b"b")]


async def test_output_behind_a_start_is_compared_although_the_place_was_lost(container: Container) -> None:
    """The engine's log lost its beginning in a command before: of this one it has all that is stored."""

    async def stored(index: int | None, stream: Stream) -> AsyncIterator[StoredPiece]:
        yield StoredPiece(b"one\n")

    told: list[bytes | Marker] = [Exited(0, 0), Started(1), b"one\ntwo\n"]
    source = Telling(*(Item(OUT, content, LOGGED) for content in told))
    async with container.session(source, stored) as session:
        session.lose_place(OUT, 1)
        await session.finished()
    assert container.recorded == [(1, OUT, b"two\n")]


async def test_gate_is_a_line(container: Container) -> None:
    """In the form that the supervisor waits for."""
    async with container.session() as session:
        await session.open_gate(0)
        await session.open_gate(12)
    assert container.written == [b"go 0\n", b"go 12\n"]


async def test_reading_ends_with_the_block(container: Container) -> None:
    """Nothing of a session is left behind."""
    before = asyncio.all_tasks()
    async with container.session():
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before


async def test_cancelled_wait_leaves_the_session_as_it_is(container: Container) -> None:
    """A command that is being stopped is waited for a second time."""
    async with container.session() as session:
        first = asyncio.create_task(session.end_of(0))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait({first})
        for words in ("ready", "start 0", "exit 0 143"):
            container.mark(words)
        assert await session.end_of(0) == CommandEnd(143)
