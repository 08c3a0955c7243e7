"""Output read from the audit log is the same as output that was watched."""

from pathlib import Path

import pytest

from releasectl.stored_output import as_watched, output_filter
from released.audit.filter import compile_event_filter
from released.model.events import CommandOutput, OutputLost, OutputRealigned
from released.model.states import Stream
from released.service.audit_events import audit_event_message
from released.service.convert import event_message
from releasephase.v1.release_event_pb2 import CommandOutput as WatchedOutput
from support.audit_log import events_of, opened
from support.samples import RELEASE, accepted


async def test_what_is_stored_is_what_is_watched(tmp_path: Path) -> None:
    """Bytes, place, time, and what is missing, of a command and outside of all."""
    async with opened(tmp_path / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"))
        output = CommandOutput(stream=Stream.STDERR, command_index=0, omitted_bytes=7)
        outside = CommandOutput(stream=Stream.STDOUT)
        await audit.append_output(RELEASE, [(output, bytes(range(256)) * 9), (outside, b"")])
        await audit.append(
            RELEASE,
            OutputLost(stream=Stream.STDOUT, reason="gone", command_index=0),
            OutputRealigned(stream=Stream.STDERR, missing_bytes=3, altered_bytes=4),
        )
        record = await audit.query.release(RELEASE)
        assert record is not None
        watched = [event_message(event, record) for event in await events_of(audit, RELEASE)]
        stored = await audit.query.all_events_after(0, audit.head.sequence, with_output=True)
    assert [as_watched(audit_event_message(event)) for event in stored[1:]] == watched[1:]


async def test_output_that_was_removed_says_how_much_it_was(tmp_path: Path) -> None:
    """The event is there, its bytes are not."""
    async with opened(tmp_path / "audit.db") as audit:
        await audit.append(RELEASE, accepted("true"))
        await audit.append_output(RELEASE, [(CommandOutput(stream=Stream.STDOUT, command_index=0), b"12345")])
        (*_, stored) = await audit.query.all_events_after(0, audit.head.sequence, with_output=True)
    watched = as_watched(audit_event_message(stored._replace(output=None)))
    assert (watched.command_output.pruned_bytes, watched.command_output.data) == (5, b"")


@pytest.mark.parametrize("command_index", [None, 0, 99])
@pytest.mark.parametrize("stream", [None, WatchedOutput.STREAM_STDOUT, WatchedOutput.STREAM_STDERR])
def test_the_daemon_takes_the_filter(
    command_index: int | None, stream: WatchedOutput.Stream.ValueType | None
) -> None:
    """Whatever is asked for."""
    compile_event_filter(output_filter(1234, command_index, stream))
