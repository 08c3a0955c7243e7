"""Events of the audit log as lines of JSON, each with all that its digest covers."""

from __future__ import annotations

import base64
import json

from releasephase.v1.audit_service_pb2 import AuditEvent


def export_line(event: AuditEvent) -> bytes:
    """Return an event as a line; docs/queries.md has the form.

    Times are microseconds since 1970, digests are in hex. What an event without output does not have
    is null; `output`, in base64, is only there for output that was sent.
    """
    line: dict[str, object] = {
        "sequence": event.sequence,
        "release_id": event.release.removeprefix("releases/"),
        "event_time": event.event_time.seconds * 1_000_000 + event.event_time.nanos // 1000,
        "kind": event.kind,
        "body": event.body,
        "output_bytes": event.output_bytes if event.HasField("output_bytes") else None,
        "output_digest": event.output_digest or None,
    }
    if event.HasField("output"):
        line["output"] = base64.b64encode(event.output).decode()
    line |= {"previous_digest": event.previous_digest, "digest": event.digest}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"
