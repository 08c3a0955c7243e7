"""The release commands that an application declares in a label of its image."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

import msgspec

from released.model.command_form import MOST_COMMANDS, refuse_argv, refuse_label, refuse_line, refuse_timeout
from released.model.durations import parse_duration
from released.model.forms import SLUG
from released.model.release import Command
from released.model.states import Source

LABEL = "releasephase.commands"
"""The image's label: a JSON array of objects, in the order in which the commands run."""

LONGEST_DECLARATION = 256 * 1024
"""Bytes of the label: no other release gets its turn while it is read, which takes 0.05 s at worst."""

MOST_TROUBLES = 5
"""How many are told at once."""

LONGEST_TEXT = 200
"""Characters of what is quoted of a declaration."""


class Malformed(ValueError):
    """What is declared can't be understood; the text says where."""


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One object of the array; `$[0].label` is the way in which msgspec names places."""

    label: str
    command: str | tuple[str, ...]
    timeout: float | str | None = None
    """Seconds, or such as `30m`."""
    environments: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """Not there for all."""
    allow_failure: bool = False
    rollback: str = ""


def declared_commands(
    labels: Mapping[str, str], environment: str, default_timeout: timedelta
) -> tuple[Command, ...]:
    """Return what an image's labels declare for an environment. Raises Malformed, whichever it is for."""
    text = labels.get(LABEL, "[]")
    # The engine may give what is no UTF-8: that is refused when it is read.
    if (size := len(text.encode(errors="replace"))) > LONGEST_DECLARATION:
        raise Malformed(f"it has {size} bytes, and {LONGEST_DECLARATION} are the most")
    if not text.strip():
        raise Malformed("it is empty: [] declares that there are no commands")
    try:
        declared = msgspec.json.decode(text, type=tuple[Declared, ...])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Malformed(_shown(str(error))) from None
    if len(declared) > MOST_COMMANDS:
        raise Malformed(f"$ has {len(declared)} objects, and {MOST_COMMANDS} are the most")
    if troubles := [*_twins(text), *_troubles(declared)]:
        more = [f"and {len(troubles) - MOST_TROUBLES} more"] if len(troubles) > MOST_TROUBLES else []
        raise Malformed("; ".join(troubles[:MOST_TROUBLES] + more))
    return tuple(
        _command(each, default_timeout)
        for each in declared
        if each.environments is msgspec.UNSET or environment in each.environments
    )


def _twins(text: str) -> Iterator[str]:
    """Fields that an object has twice: msgspec takes the last, and RFC 8259 leaves open which one counts."""
    objects = json.loads(text, object_pairs_hook=tuple)
    for index, fields in enumerate(objects):
        counts = Counter(name for name, _ in fields)
        yield from (f"$[{index}].{name} must not be there twice" for name in counts if counts[name] > 1)


def _troubles(declared: Sequence[Declared]) -> Iterator[str]:
    places: dict[str, str] = {}
    for index, each in enumerate(declared):
        place = f"$[{index}]"
        for field, refusal in _refusals(each):
            if refusal:
                yield f"{place}.{field} {refusal}"
        if each.label in places:
            yield f"{place}.label is the same as {places[each.label]}.label: {_shown(each.label)!r}"
        places.setdefault(each.label, place)


def _refusals(declared: Declared) -> Iterator[tuple[str, str]]:
    yield "label", refuse_label(declared.label)
    command = declared.command
    yield "command", refuse_line(command) if isinstance(command, str) else refuse_argv(command)
    yield "rollback", refuse_line(declared.rollback) if declared.rollback else ""
    yield "timeout", _refuse_timeout(declared.timeout)
    if declared.environments is not msgspec.UNSET:
        yield from _refused_environments(declared.environments)


def _refused_environments(environments: Sequence[str]) -> Iterator[tuple[str, str]]:
    if not environments:
        yield "environments", "must not be empty: leave it out for all environments"
    seen = set()
    for index, environment in enumerate(environments):
        if not SLUG.fullmatch(environment):
            yield f"environments[{index}]", "must be 1 to 63 lower-case letters, digits and inner hyphens"
        elif environment in seen:
            yield f"environments[{index}]", f"must not be there twice: {environment!r}"
        seen.add(environment)


def _refuse_timeout(timeout: float | str | None) -> str:
    try:
        return "" if timeout is None else refuse_timeout(_timeout(timeout))
    except ValueError as error:
        return f"must be seconds, or such as 30m: {_shown(str(error))}"


def _timeout(timeout: float | str) -> timedelta:
    """Raises ValueError."""
    if isinstance(timeout, str):
        return parse_duration(timeout)
    try:
        return timedelta(seconds=timeout)
    except OverflowError as error:
        raise ValueError(f"{timeout:g} is too much") from error


def _shown(text: str) -> str:
    """A part of what somebody has written, fit for a message."""
    printable = "".join(character if character.isprintable() else "?" for character in text[:LONGEST_TEXT])
    return printable + "…" if len(text) > LONGEST_TEXT else printable


def _command(declared: Declared, default_timeout: timedelta) -> Command:
    is_line = isinstance(declared.command, str)
    return Command(
        label=declared.label,
        line=declared.command if isinstance(declared.command, str) else None,
        argv=None if is_line else tuple(declared.command),
        timeout=default_timeout if declared.timeout is None else _timeout(declared.timeout),
        source=Source.IMAGE,
        allow_failure=declared.allow_failure,
        rollback=declared.rollback,
    )
