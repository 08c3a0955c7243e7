"""Output as the audit log stores it: what reads a log from its end is no watch, and sees the same."""

from __future__ import annotations

import json
from collections.abc import Iterator

from google.protobuf.json_format import ParseDict

from releasephase.v1.audit_service_pb2 import AuditEvent
from releasephase.v1.release_event_pb2 import CommandOutput, ReleaseEvent

from .lines import Stream

KINDS = ("command_output", "output_lost", "output_realigned")
"""Of the events that add to the output, or say that some is missing: fields of ReleaseEvent, too."""


def output_filter(up_to: int, command_index: int | None, stream: Stream | None) -> str:
    """Return the filter for such events up to a sequence; of one command, or one stream, if that is given."""
    return " AND ".join(_terms(up_to, command_index, stream))


def as_watched(stored: AuditEvent) -> ReleaseEvent:
    """Return the event of a watch that tells of the same output."""
    event = ReleaseEvent(sequence=stored.sequence, release=stored.release, event_time=stored.event_time)
    body = json.loads(stored.body)
    body["stream"] = f"STREAM_{body['stream']}"
    ParseDict(body, getattr(event, stored.kind), ignore_unknown_fields=True)
    if stored.HasField("output"):
        event.command_output.data = stored.output
    elif stored.kind == "command_output":
        event.command_output.pruned_bytes = stored.output_bytes
    return event


def _terms(up_to: int, command_index: int | None, stream: Stream | None) -> Iterator[str]:
    yield f"({' OR '.join(f'kind = {kind}' for kind in KINDS)})"
    yield f"sequence <= {up_to}"
    if command_index is not None:
        yield f"command_index = {command_index}"
    if stream is not None:
        yield f"stream = {CommandOutput.Stream.Name(stream).removeprefix('STREAM_')}"
