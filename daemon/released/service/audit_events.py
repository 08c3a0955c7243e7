"""Events as the log stores them, in the contract's form."""

from google.protobuf.timestamp_pb2 import Timestamp

from released.audit.stored import StoredEvent
from released.service import convert
from releasephase.v1 import audit_service_pb2


def audit_event_message(event: StoredEvent) -> audit_service_pb2.AuditEvent:
    """Return an event with all that its digest covers; nothing is lost on the way."""
    seconds, microseconds = divmod(event.event_time, 1_000_000)
    return audit_service_pb2.AuditEvent(
        sequence=event.sequence,
        release=convert.release_name(event.release_id) if event.release_id else "",
        event_time=Timestamp(seconds=seconds, nanos=microseconds * 1000),
        kind=event.kind,
        body=event.body,
        output_bytes=event.output_bytes,
        output_digest=event.output_digest.hex(),
        output=event.output,
        previous_digest=event.previous_digest.hex(),
        digest=event.digest.hex(),
    )
