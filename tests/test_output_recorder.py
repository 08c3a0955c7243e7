"""The recorder of output: in order, in few events, never too much of it in memory."""

import asyncio
from collections.abc import Coroutine, Iterable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.errors import ResourceExhausted
from released.model.events import CommandOutput
from released.model.receipt import Receipt
from released.model.states import Stream
from released.release import output
from released.release.output import EVENT_BYTES, FLOOD_BYTES, PENDING_BYTES, OutputRecorder
from support.properties import deterministic

OUT, ERR = Stream.STDOUT, Stream.STDERR
NO_CAP = 2**40
FULL = ResourceExhausted("AUDIT_DISK_FULL", "no room")

Append = Sequence[tuple[CommandOutput, bytes]]


class Log:
    """An audit log that commits when the test says so."""

    def __init__(self) -> None:
        self.appends: list[Append] = []
        self.under_way: list[asyncio.Future[Receipt]] = []

    def append(self, output: Append) -> asyncio.Future[Receipt]:
        assert not [future for future in self.under_way if not future.done()], "one append at a time"
        self.appends.append(list(output))
        self.under_way.append(asyncio.get_running_loop().create_future())
        return self.under_way[-1]

    async def commit(self) -> None:
        """Make the append under way durable, and let the recorder know."""
        self.under_way[-1].set_result(Receipt(len(self.appends), b""))
        await asyncio.sleep(0)

    @property
    def events(self) -> list[tuple[CommandOutput, bytes]]:
        return [event for append in self.appends for event in append]


async def end(work: Coroutine[None, None, None], log: Log) -> None:
    """Do the work, and commit for as long as it waits."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    while not task.done():
        if not log.under_way[-1].done():
            log.under_way[-1].set_result(Receipt(0, b""))
        await asyncio.sleep(0)
    await task


async def test_first_output_is_appended_at_once() -> None:
    """A watcher of a quiet command sees each line when it is written."""
    log = Log()
    await OutputRecorder(log.append, NO_CAP).write(2, ERR, b"line\n")
    assert log.appends == [[(CommandOutput(stream=ERR, command_index=2), b"line\n")]]


async def test_what_comes_during_an_append_is_merged_into_the_next() -> None:
    """Neighbours of one stream and command become one event; the order of all is kept."""
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    await recorder.write(0, OUT, b"first")
    for index, stream, data in (
        (0, OUT, b"a"),
        (0, OUT, b"b"),
        (0, ERR, b"c"),
        (0, OUT, b"d"),
        (1, OUT, b"e"),
    ):
        await recorder.write(index, stream, data)
    assert len(log.appends) == 1
    await log.commit()
    assert [(body.command_index, body.stream, data) for body, data in log.appends[1]] == [
        (0, OUT, b"ab"),
        (0, ERR, b"c"),
        (0, OUT, b"d"),
        (1, OUT, b"e"),
    ]


async def test_a_flood_is_gathered_until_there_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an append that carried much, the next one waits for more: a commit costs the same for a lot."""
    monkeypatch.setattr(output, "FLOOD_PAUSE", 3600)
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    await recorder.write(0, OUT, b"x" * EVENT_BYTES)
    await log.commit()
    await recorder.write(0, OUT, b"more")
    assert len(log.appends) == 1
    await recorder.write(0, OUT, b"y" * FLOOD_BYTES)
    assert sum(len(data) for _, data in log.appends[1]) == FLOOD_BYTES + 4


async def test_a_flood_that_ends_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pause is over at some time, and quiet output that follows is appended at once."""
    monkeypatch.setattr(output, "FLOOD_PAUSE", 0)
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    await recorder.write(0, OUT, b"x" * EVENT_BYTES)
    await recorder.write(0, OUT, b"rest")
    await log.commit()
    await asyncio.sleep(0)  # the timer's turn
    await asyncio.sleep(0)
    assert [data for _, data in log.appends[1]] == [b"rest"]
    await log.commit()
    await recorder.write(0, OUT, b"quiet")
    assert len(log.appends) == 3


async def test_flushing_does_not_wait_for_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result of a command is not held up by how much it wrote."""
    monkeypatch.setattr(output, "FLOOD_PAUSE", 3600)
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    await recorder.write(0, OUT, b"x" * EVENT_BYTES)
    await log.commit()
    await recorder.write(0, OUT, b"rest")
    flushing = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0)
    assert [data for _, data in log.appends[1]] == [b"rest"]
    await log.commit()
    await flushing


writes = st.lists(
    st.tuples(
        st.sampled_from([None, 0, 1]),
        st.sampled_from(Stream),
        st.sampled_from([1, 5, 1000, EVENT_BYTES - 1, EVENT_BYTES, EVENT_BYTES + 1, 3 * EVENT_BYTES]),
        st.booleans(),
    ),
    max_size=20,
)


@deterministic
@given(writes)
async def test_any_order_of_writes_and_commits(
    writes: list[tuple[int | None, Stream, int, bool]],
) -> None:
    """All bytes arrive in the order in which they came, in events of 64 KiB at most."""
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    expected: list[tuple[int | None, Stream, bytes]] = []
    for number, (index, stream, size, commit) in enumerate(writes):
        data = bytes([number]) * size
        await end(recorder.write(index, stream, data), log)
        expected.append((index, stream, data))
        if commit and not log.under_way[-1].done():
            await log.commit()
    await end(recorder.flush(), log)
    assert all(0 < len(data) <= EVENT_BYTES for _, data in log.events)
    assert runs((body.command_index, body.stream, data) for body, data in log.events) == runs(expected)


def runs(pieces: Iterable[tuple[int | None, Stream, bytes]]) -> list[tuple[int | None, Stream, bytes]]:
    """Join neighbours of one command and stream."""
    joined: list[tuple[int | None, Stream, bytes]] = []
    for index, stream, data in pieces:
        if joined and joined[-1][:2] == (index, stream):
            data = joined.pop()[2] + data
        joined.append((index, stream, data))
    return joined


async def test_log_that_cannot_keep_up_holds_up_the_container() -> None:
    """More than a mebibyte does not wait in memory: the next write returns when there is room again."""
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    await recorder.write(0, OUT, b"under way")
    for _ in range(PENDING_BYTES // EVENT_BYTES):
        await asyncio.wait_for(recorder.write(0, OUT, b"x" * EVENT_BYTES), 5)
    too_much = asyncio.create_task(recorder.write(0, OUT, b"!"))
    await asyncio.sleep(0)
    assert not too_much.done()
    await log.commit()
    await too_much
    assert sum(len(data) for _, data in log.appends[1]) == PENDING_BYTES + 1


async def test_flush_returns_when_everything_is_durable() -> None:
    """What waits behind the append under way, too."""
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    await recorder.write(0, OUT, b"first")
    await recorder.write(0, OUT, b"second")
    flushing = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0)
    await log.commit()
    await asyncio.sleep(0)
    assert not flushing.done()
    await log.commit()
    await flushing
    assert [data for _, data in log.events] == [b"first", b"second"]


async def test_flush_of_nothing_returns_at_once() -> None:
    """Most commands of a release write nothing."""
    log = Log()
    await OutputRecorder(log.append, NO_CAP).flush()
    assert log.appends == []


async def test_flush_ends_although_a_process_left_behind_goes_on_writing() -> None:
    """A command's background process that never stops writing does not hold up the command's result."""
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    await recorder.write(0, OUT, b"of the command")
    flushing = asyncio.create_task(recorder.flush())
    for _ in range(10):
        await recorder.write(None, OUT, b"of what it left behind")
        await log.commit()
        await asyncio.sleep(0)
    assert flushing.done()
    await end(recorder.flush(), log)


async def test_flush_stores_the_tail_of_capped_output() -> None:
    """The end of a command's output is stored when the command has ended, with what is missing before it."""
    log = Log()
    recorder = OutputRecorder(log.append, 4)
    await recorder.write(0, OUT, b"head" + b"-" * 100 + b"t" * EVENT_BYTES)
    assert [data for _, data in log.events] == [b"head"]
    await end(recorder.flush(), log)
    assert log.events[1:] == [
        (CommandOutput(stream=OUT, command_index=0, omitted_bytes=100), b"t" * EVENT_BYTES)
    ]


async def test_tail_is_never_merged_with_the_head() -> None:
    """The event that says what is missing before it begins with the tail."""
    log = Log()
    recorder = OutputRecorder(log.append, 4)
    for data in (b"he", b"ad-", b"t" * 10, b"u" * (EVENT_BYTES - 5)):
        await recorder.write(0, OUT, data)
    await end(recorder.flush(), log)
    assert [(body.omitted_bytes, data) for body, data in log.events] == [
        (0, b"he"),
        (0, b"ad"),
        (6, b"t" * 5 + b"u" * (EVENT_BYTES - 5)),
    ]


async def test_each_command_has_a_cap_of_its_own() -> None:
    """A talkative command leaves the next one its room."""
    log = Log()
    recorder = OutputRecorder(log.append, 3)
    for index in (0, 1):
        await recorder.write(index, OUT, b"abc")
        await end(recorder.flush(), log)
    assert [(body.command_index, data) for body, data in log.events] == [(0, b"abc"), (1, b"abc")]


async def test_error_of_the_log_is_raised_by_the_next_write_and_by_flush() -> None:
    """Output that can't be stored ends the release; it is not dropped silently."""
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    await recorder.write(0, OUT, b"lost")
    log.under_way[-1].set_exception(FULL)
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted, match="no room"):
        await recorder.write(0, OUT, b"more")
    with pytest.raises(ResourceExhausted, match="no room"):
        await recorder.flush()
    assert len(log.appends) == 1


async def test_error_of_the_log_is_raised_by_the_write_and_the_flush_that_wait() -> None:
    """Whoever waits for room or durability learns that there will be none."""
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    await recorder.write(0, OUT, b"under way")
    writing = asyncio.create_task(recorder.write(0, OUT, b"x" * (PENDING_BYTES + 1)))
    flushing = asyncio.create_task(recorder.flush())
    await asyncio.sleep(0)
    log.under_way[-1].set_exception(FULL)
    for task in (writing, flushing):
        with pytest.raises(ResourceExhausted, match="no room"):
            await task


async def test_cancelled_write_leaves_the_append_alone() -> None:
    """What is on its way to the disk gets there, whoever stops waiting for it."""
    log = Log()
    recorder = OutputRecorder(log.append, NO_CAP)
    await recorder.write(0, OUT, b"under way")
    writing = asyncio.create_task(recorder.write(0, OUT, b"x" * (PENDING_BYTES + 1)))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert not log.under_way[-1].done()
    await end(recorder.flush(), log)
    assert sum(len(data) for _, data in log.events) == len(b"under way") + PENDING_BYTES + 1
