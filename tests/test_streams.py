"""Resumed streams: the engine's log, then the live streams, and nothing lost or repeated between them."""

import asyncio
import tracemalloc
from collections.abc import AsyncGenerator, Iterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.engine.attachment import Attachment, Chunk
from released.engine.container_log import LoggedChunk
from released.engine.errors import EngineRefused, EngineUnreachable
from released.model.states import Stream
from released.release import log_reading, resumed
from released.release.markers import Exited, Ready, Started
from released.release.streams import Item, LiveStreams
from support.properties import deterministic
from support.resumed_streams import Places, Resumed, cut, supervised, truth
from support.scripted_container import (
    NONCE,
    ScriptedAttachment,
    ScriptedEngine,
    Written,
    err,
    frames,
    mark,
    out,
)

OUT, ERR = Stream.STDOUT, Stream.STDERR
UNREADABLE = EngineRefused(501, "reading the log of the container", "this driver's log can't be read")
LOST = EngineUnreachable("gone")


class ChangingEngine(ScriptedEngine):
    """An engine whose log of the container is another one at each reading, or refused, and then tells so."""

    def __init__(self, *logs: Written | EngineRefused) -> None:
        super().__init__(())
        self.logs = list(logs)
        self.is_at_last = asyncio.Event()
        """Set when the last of them is being read; it stays."""

    def read_log(self, container_id: str) -> AsyncGenerator[LoggedChunk, None]:
        log = self.logs.pop(0) if len(self.logs) > 1 else self.logs[0]
        if len(self.logs) == 1:
            self.is_at_last.set()
        self.error = log if isinstance(log, EngineRefused) else None
        self.lines, self.rest = frames(() if isinstance(log, EngineRefused) else log)
        return super().read_log(container_id)


@pytest.fixture(autouse=True, scope="module")
def _no_pauses() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(resumed, "FIRST_PAUSE", 0.0)
        patch.setattr(resumed, "COST_FACTOR", 0)
        yield


@deterministic
@given(supervised(), st.data())
async def test_every_splice_gives_all_output_once(written: list[Chunk], data: st.DataObject) -> None:
    """Wherever the live streams begin, and however far the log is each time when it is read."""
    asked_at = data.draw(st.integers(0, len(written)))
    written[asked_at:asked_at] = mark("here 0")
    attached_at = data.draw(st.integers(0, asked_at))
    engine = ScriptedEngine(written)
    engine.lengths = iter(sorted(data.draw(st.lists(st.integers(0, len(engine.lines)), max_size=4))))
    resumed = Resumed(engine, ScriptedAttachment(cut(data, written[attached_at:])), has_been_ready=False)
    assert await resumed.outputs() == truth(written)
    assert resumed.lost == []


@deterministic
@given(supervised(), st.sampled_from([None, LOST]), st.data())
async def test_streams_that_end_without_a_marker(
    written: list[Chunk], end: Exception | None, data: st.DataObject
) -> None:
    """The container has ended, so the log is complete, its last half line included."""
    attached_at = data.draw(st.integers(0, len(written)))
    engine = ScriptedEngine(written)
    engine.lengths = iter(sorted(data.draw(st.lists(st.integers(0, len(engine.lines)), max_size=4))))
    resumed = Resumed(engine, ScriptedAttachment(cut(data, written[attached_at:]), end), has_been_ready=False)
    assert await resumed.outputs() == truth(written)


@deterministic
@given(supervised(), st.booleans())
async def test_container_that_has_ended_has_its_log(written: list[Chunk], is_attached: bool) -> None:
    """Nobody was attached to it any more, or the attachment does not notice."""
    engine = ScriptedEngine(written)
    engine.has_ended.set()
    attachment = ScriptedAttachment() if is_attached else None
    if attachment:
        attachment.coming = asyncio.Queue()
    resumed = Resumed(engine, attachment)
    assert await resumed.outputs() == truth(written)
    assert resumed.streams.caught_up.is_set()
    assert resumed.lost == []


async def test_marker_that_came_while_nobody_was_attached_says_when() -> None:
    """What comes by the live streams has only just happened."""
    written = [*mark("ready"), *mark("start 0"), *mark("here 0"), *mark("exit 0 0")]
    resumed = Resumed(ScriptedEngine(written, [6] * 1000), ScriptedAttachment(written[4:]))
    await resumed.read()
    assert all(item.logged for item in resumed.items if isinstance(item.content, Ready | Started))
    assert [item.logged for item in resumed.items if isinstance(item.content, Exited)] == ["", ""]


async def test_caught_up_comes_with_the_log() -> None:
    """Once all of it was given; it does not wait for the live streams, which may have nothing to say."""
    before = asyncio.all_tasks()
    attachment = ScriptedAttachment()
    attachment.coming = asyncio.Queue()
    resumed = Resumed(ScriptedEngine([*mark("ready"), *mark("start 0")]), attachment)
    reading = asyncio.create_task(resumed.read())
    await resumed.streams.caught_up.wait()
    assert [item.content for item in resumed.items] == [Ready(), Ready(), Started(0), Started(0)]
    assert not reading.done()
    reading.cancel()
    await asyncio.wait({reading})
    assert asyncio.all_tasks() == before, "nothing goes on behind a reading that was cancelled"


async def test_log_is_not_read_again_and_again_for_a_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long log costs much to read: there is a pause each time."""
    monkeypatch.setattr(resumed, "FIRST_PAUSE", 3600.0)
    written = [*mark("ready"), *mark("here 0")]
    engine = ScriptedEngine(written, [2] * 1000)
    reading = asyncio.create_task(Resumed(engine, ScriptedAttachment(written[2:])).read())
    for _ in range(200):
        await asyncio.sleep(0)
    assert engine.log_read <= 2
    reading.cancel()
    await asyncio.wait({reading})


async def test_marker_that_never_is_in_the_log_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the live streams say is passed on; what was before it may be lost."""
    monkeypatch.setattr(resumed, "LOG_PATIENCE", 0.0)
    written = [*mark("ready"), *mark("start 0"), *mark("here 0"), *out(b"live\n")]
    engine = ScriptedEngine(written, [4] * 100_000)
    source = Resumed(engine, ScriptedAttachment(written[4:]))
    assert await source.outputs() == {(OUT, 0): b"live\n"}
    assert source.lost == [OUT, ERR]


async def test_engine_that_goes_away_ends_it_with_an_error() -> None:
    """What the log has is not known: it is no end of the streams."""
    engine = ScriptedEngine(mark("ready"))
    engine.error = LOST
    resumed = Resumed(engine, ScriptedAttachment())
    with pytest.raises(EngineUnreachable):
        await resumed.read()
    assert not resumed.streams.caught_up.is_set()


@pytest.mark.parametrize("has_been_ready", [False, True])
async def test_log_that_can_not_be_read_is_lost(has_been_ready: bool) -> None:
    """What the live streams have is of the command that is under way."""
    engine = ScriptedEngine([], [0] * 1000)
    engine.error = UNREADABLE
    live = [*mark("here 0"), *out(b"live\n"), *mark("exit 3 0")]
    resumed = Resumed(engine, ScriptedAttachment(live), has_been_ready=has_been_ready, running=3)
    assert await resumed.outputs() == {(OUT, 3 if has_been_ready else None): b"live\n"}
    assert [item.content for item in resumed.items if isinstance(item.content, Exited)] == [Exited(3, 0)] * 2
    assert set(resumed.lost) == {OUT, ERR}
    assert resumed.streams.caught_up.is_set()


async def test_log_of_a_container_that_has_ended_and_can_not_be_read_is_lost() -> None:
    """Also without markers, by which one would notice: whatever it wrote last is in no other place."""
    engine = ScriptedEngine([])
    engine.error = UNREADABLE
    engine.has_ended.set()
    resumed = Resumed(engine, None, nonce="", has_been_ready=False)
    assert await resumed.outputs() == {}
    assert resumed.lost == [OUT, ERR]


async def test_log_that_lost_its_head_is_used_from_its_first_marker_on() -> None:
    """Before it, nothing can be aligned: the driver has thrown away where it began."""
    rotated = [*out(b"some\n"), *mark("here 0"), *mark("exit 0 0"), *out(b"kept\n"), *mark("here 1")]
    resumed = Resumed(ScriptedEngine(rotated), ScriptedAttachment(rotated[-2:]), running=0)
    assert await resumed.outputs() == {(OUT, None): b"kept\n"}
    assert resumed.lost == [OUT, ERR]


async def test_log_without_any_marker_is_not_used() -> None:
    """A command wrote more than the log keeps: what it goes on to write is its output, though."""
    rotated = [*out(b"some\n"), *err(b"more\n"), *mark("here 0"), *out(b"live\n"), *mark("exit 2 0")]
    engine = ScriptedEngine(rotated, [4] * 1000)
    resumed = Resumed(engine, ScriptedAttachment(rotated[2:]), running=2)
    assert await resumed.outputs() == {(OUT, 2): b"live\n"}
    assert resumed.lost == [OUT, ERR]


async def test_head_that_is_there_has_what_came_before_the_supervisor() -> None:
    """Although it was asked where it is before it was ready."""
    written = [*out(b"entry"), *mark("here 0"), *out(b"point\n"), *mark("ready"), *mark("here 1")]
    resumed = Resumed(ScriptedEngine(written), ScriptedAttachment(written[-2:]))
    assert await resumed.outputs() == {(OUT, None): b"entrypoint\n"}
    assert resumed.lost == []


async def test_no_more_is_held_back_than_a_head_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    """A marker that never comes is not waited for with all of the log in memory."""
    monkeypatch.setattr(log_reading, "LONGEST_HEAD", 8)
    written = [*out(b"12345\n", b"12\n"), *err(b"123456\n"), *mark("ready"), *mark("here 0"), *out(b"live\n")]
    resumed = Resumed(ScriptedEngine(written), ScriptedAttachment(written[-3:]))
    assert await resumed.outputs() == {(OUT, None): b"live\n", (ERR, None): b"123456\n"}
    assert resumed.lost == [OUT]


async def test_head_takes_as_much_memory_as_it_has_bytes() -> None:
    """Not many times as much because it comes in short lines, by turns on both streams."""
    written = [*(out(b".\n") + err(b".\n")) * 50_000, *mark("ready")]
    engine = ScriptedEngine(written)
    engine.has_ended.set()
    resumed = Resumed(engine, None)
    tracemalloc.start()
    try:
        assert await resumed.outputs() == {(OUT, None): b".\n" * 50_000, (ERR, None): b".\n" * 50_000}
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 * 1024 * 1024


@deterministic
@given(supervised(), st.data())
async def test_without_a_nonce_everything_is_output(written: list[Chunk], data: st.DataObject) -> None:
    """A container without a supervisor: it has no markers, and its log is read until it ends."""
    engine = ScriptedEngine(written)
    engine.lengths = iter(sorted(data.draw(st.lists(st.integers(0, len(engine.lines)), max_size=4))))
    attachment = ScriptedAttachment(written[data.draw(st.integers(0, len(written))) :])
    resumed = Resumed(engine, attachment, nonce="", has_been_ready=False)
    expected = Places()
    for stream, content in written:
        expected.take(Item(stream, content))
    assert await resumed.outputs() == expected.outputs


@pytest.mark.parametrize("before", [[b"one\n"], [b"..\n", b"one\n"], [b"..\n", b"..\n", b"one\n"]])
async def test_log_that_was_rotated_between_two_readings_is_told_no_further(before: list[bytes]) -> None:
    """Where it goes on is not known: nothing of it is recorded a second time, and the loss is told once."""
    rotated = [*out(*before[:-1], b"two\n", b"three\n", b"four\n"), *err(b"error\n")]
    first, second = out(before[0]), [*out(*before), *err(b"error\n")]
    engine = ChangingEngine(first, second, rotated, rotated, rotated)
    attachment = ScriptedAttachment()
    attachment.coming = asyncio.Queue()
    resumed = Resumed(engine, attachment, nonce="", has_been_ready=False)
    reading = asyncio.create_task(resumed.read())
    await engine.is_at_last.wait()
    engine.has_ended.set()
    await reading
    assert resumed.places.outputs == {(OUT, None): b"".join(before), (ERR, None): b"error\n"}
    assert resumed.lost == [OUT]


@pytest.mark.parametrize("logs", [[UNREADABLE], [out(b"one\n"), UNREADABLE]])
async def test_live_streams_pass_once_a_log_without_markers_can_not_be_read(
    logs: list[Written | EngineRefused],
) -> None:
    """Also if it could be read before: what each stream may lack is told once, and what comes is output."""
    engine = ChangingEngine(*logs)
    attachment = ScriptedAttachment()
    attachment.coming = asyncio.Queue()
    resumed = Resumed(engine, attachment, nonce="", has_been_ready=False)
    reading = asyncio.create_task(resumed.read())
    await resumed.streams.caught_up.wait()
    while not resumed.lost:  # noqa: ASYNC110 - until it is told
        await asyncio.sleep(0)
    for chunk in [*out(b"live\n"), *err(b"error\n"), None]:
        attachment.coming.put_nowait(chunk)
    await reading
    before = b"one\n" if len(logs) > 1 else b""
    assert resumed.places.outputs == {(OUT, None): before + b"live\n", (ERR, None): b"error\n"}
    assert resumed.lost == [OUT, ERR]
    assert engine.log_read == len(logs)


async def test_what_is_written_goes_to_the_container() -> None:
    """A gate, say; to a container that has ended, nothing can be written."""
    attachment = ScriptedAttachment()
    await Resumed(ScriptedEngine([]), attachment).streams.write(b"go 0\n")
    assert attachment.written == [b"go 0\n"]
    with pytest.raises(EngineUnreachable):
        await Resumed(ScriptedEngine([]), None).streams.write(b"go 0\n")


@pytest.mark.parametrize("end", [None, LOST])
async def test_live_streams_give_what_could_have_been_a_marker(end: Exception | None) -> None:
    """At their end, whatever that is; but nothing that has the nonce."""
    half: bytes = mark("exit 0 0")[0].data[:-3]
    attachment = ScriptedAttachment([*out(b"a", half), *err(b"\x1e")], end)
    source = LiveStreams(cast(Attachment, attachment), NONCE)
    assert source.caught_up.is_set()
    assert [item.content async for item in source.items()] == [b"a", b"\x1e"]
