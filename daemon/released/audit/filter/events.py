"""The filter of ListEvents."""

from typing import get_args

from released.audit.filter.condition import Condition, Span, all_of
from released.audit.filter.fields import Field, choice, integer, time
from released.audit.filter.grammar import compile_with
from released.model.events import AnyBody
from released.model.states import Stream

SEQUENCE = "sequence"

KINDS = tuple(str(body.__struct_config__.tag) for body in get_args(AnyBody))


def compile_event_filter(text: str) -> Condition:
    """Compile a filter of events; an empty one lets everything through.

    Raises InvalidRequest that names the position and what was expected there.
    """
    return compile_with(_FIELDS, text)


def events_of(release_id: str, condition: Condition) -> Condition:
    """Restrict a condition to the events of a release, which are few and in an index of their own."""
    span = Span("release_id = ?", (release_id,))
    bounds = tuple(union for union in condition.spans if [part.column for part in union] == [SEQUENCE])
    within = Condition("+release_id = ?", (release_id,), ((span,),))
    return all_of([within, condition._replace(spans=bounds)])


def _searched(field: Field) -> Field:
    """No index has the field: the log is gone through for it."""
    return lambda cursor: field(cursor)._replace(spans=())


_FIELDS: dict[str, Field] = {
    "kind": _searched(choice("kind", KINDS)),
    "event_time": time("event_time"),
    SEQUENCE: integer(SEQUENCE, SEQUENCE),
    "command_index": integer("(body ->> 'command_index')"),
    "stream": _searched(choice("(body ->> 'stream')", Stream, "STREAM_")),
}
