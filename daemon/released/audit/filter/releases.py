"""The filter of ListReleases."""

import re
from collections.abc import Iterable

from released.audit.filter.condition import NOTHING, Condition, Span, all_of, any_of, negated
from released.audit.filter.cursor import ANY, Cursor, Value
from released.audit.filter.fields import (
    Field,
    as_integer,
    choice,
    contains,
    differs,
    duration,
    equals,
    text,
    time,
)
from released.audit.filter.grammar import compile_with
from released.model.patterns import TargetPattern
from released.model.states import Cause, ReleaseState

CREATE_TIME = "create_time"
DURATION = "ifnull(duration, -1)"
END_TIME = "ifnull(end_time, -1)"
"""As the indexes have them: what has not ended comes first."""

DIGEST = "substr(image_digest, instr(image_digest, '@') + 1)"
"""Without the repository, also as its index has it."""

NONE = "NONE"
LABELS = "release_labels CROSS JOIN releases USING (release_id)"
"""In this order: the labels are found first."""

OUTCOMES = (NONE, "DEPLOYED", "ABANDONED")

_KEY = re.compile(r"[A-Za-z0-9_./-]+")


def compile_filter(text: str) -> Condition:
    """Compile a filter of releases; an empty one lets everything through.

    Raises InvalidRequest that names the position and what was expected there.
    """
    return compile_with(_FIELDS, text)


def within(targets: Iterable[TargetPattern] | None, condition: Condition) -> Condition:
    """Restrict a condition to these deployment targets; None: to none in particular."""
    if targets is None:
        return condition
    visible = [_target(tuple(_pattern(part) for part in target)) for target in targets]
    return all_of([condition, any_of(visible) if visible else NOTHING])


def _on_target(cursor: Cursor) -> Condition:
    """`target = "shop/live"`: both parts at once."""
    operator, value = cursor.operator("=", "!="), cursor.value()
    written = "\0".join(value.parts)
    application, slash, environment = written.partition("/")
    if not slash or "/" in environment:
        raise cursor.expected("a deployment target, such as shop/live", value.position)
    halves = tuple(
        Value(tuple(half.split("\0")), half, value.position) for half in (application, environment)
    )
    condition = _target(halves)
    return condition if operator == "=" else negated(condition)


def _target(halves: tuple[Value, ...]) -> Condition:
    both = all_of([equals("application", halves[0]), equals("environment", halves[1], alone=False)])
    if all(len(half.parts) == 1 for half in halves):
        span = Span("application = ? AND environment = ?", both.parameters)
        return both._replace(spans=((span,),))
    return both


def _pattern(part: str) -> Value:
    return Value(tuple(part.split(ANY)), part, 0)


def _caller(cursor: Cursor) -> Condition:
    """The caller's user, by name or by number."""
    operator, value = cursor.operator("=", "!=", ":"), cursor.value()
    uid = as_integer(value.text)
    if operator == ":":
        return contains("caller_user", value)
    if uid is None:
        return equals("caller_user", value) if operator == "=" else differs("caller_user", value)
    if operator == "!=":
        return Condition("ifnull(caller_uid <> ?, FALSE)", (uid,))
    return Condition("ifnull(caller_uid = ?, FALSE)", (uid,), ((Span("caller_uid = ?", (uid,)),),))


def _outcome(cursor: Cursor) -> Condition:
    """What became of the deployment; NONE until it is reported."""
    operator, value = cursor.operator("=", "!="), cursor.value()
    word = value.text.removeprefix("OUTCOME_")
    if word not in OUTCOMES:
        raise cursor.expected(", ".join(OUTCOMES), value.position)
    stored = None if word == NONE else word
    if operator == "!=":
        return Condition("outcome IS NOT ?", (stored,))
    return Condition("+outcome IS ?", (stored,), ((Span("outcome IS ?", (stored,)),),))


def _digest(cursor: Cursor) -> Condition:
    """The digest of the image; the repository before it may be left out."""
    operator, value = cursor.operator("=", "!=", ":"), cursor.value()
    if operator == ":":
        return contains("image_digest", value)
    column = "image_digest" if "@" in value.text else DIGEST
    if operator == "!=":
        return differs(column, value)
    compared = equals(column, value)
    return compared if column == DIGEST else compared._replace(spans=())


def _labels(cursor: Cursor) -> Condition:
    """`labels.KEY = VALUE`, or `labels:KEY`. A release without the label has no value that differs."""
    if cursor.takes(":"):
        return _has_label(cursor.value().text)
    if not cursor.takes("."):
        raise cursor.expected("'.KEY' or ':KEY'")
    key = cursor.name(_KEY, "the key of a label")
    operator, value = cursor.operator("=", "!=", ":"), cursor.value()
    if operator == ":" and value.is_any:
        return _has_label(key)
    compare = {"=": equals, "!=": differs, ":": contains}[operator]
    compared = compare("value", value)
    found = compared.spans[0][0] if compared.spans else Span("TRUE", ())
    return _labelled(
        f"key = ? AND {compared.sql}",
        (key, *compared.parameters),
        Span(f"key = ? AND {found.sql}", (key, *found.parameters), source=LABELS),
    )


def _labelled(sql: str, parameters: tuple[str, ...], span: Span) -> Condition:
    exists = f"EXISTS (SELECT 1 FROM release_labels WHERE release_id = releases.release_id AND {sql})"  # noqa: S608
    return Condition(exists, parameters, ((span,),))


def _has_label(key: str) -> Condition:
    return _labelled("key = ?", (key,), Span("key = ?", (key,), source=LABELS))


_FIELDS: dict[str, Field] = {
    "application": text("application"),
    "environment": text("environment", alone=False),
    "target": _on_target,
    "state": choice("state", ReleaseState, "STATE_"),
    "cause": choice("cause", Cause, "CAUSE_"),
    "outcome": _outcome,
    "caller": _caller,
    "requested_by": text("requested_by"),
    "image": text("image"),
    "digest": _digest,
    "create_time": time("create_time", CREATE_TIME),
    "start_time": time("start_time"),
    "end_time": time("end_time", END_TIME),
    "duration": duration("duration", DURATION),
    "labels": _labels,
}
