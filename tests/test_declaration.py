"""What an image declares: understood, or refused with the exact place."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from released.model.release import Command
from released.model.states import Source
from released.release.declaration import LABEL, LONGEST_DECLARATION, Malformed, declared_commands

DEFAULT = timedelta(minutes=30)


def declared(*objects: Any, environment: str = "live") -> tuple[Command, ...]:
    return declared_text(json.dumps(objects), environment)


def declared_text(text: str, environment: str = "live") -> tuple[Command, ...]:
    return declared_commands({LABEL: text}, environment, DEFAULT)


def test_image_without_the_label_declares_nothing() -> None:
    """Others of its labels are its own business."""
    assert declared_commands({}, "live", DEFAULT) == ()
    assert declared_commands({"releasephase.command": "["}, "live", DEFAULT) == ()
    assert declared() == ()


def test_command_has_all_that_is_declared_of_it() -> None:
    """And is known to come from the image."""
    line = {
        "label": "Run migrations",
        "command": "./manage.py migrate",
        "timeout": "1h30m",
        "environments": ["live", "test"],
        "allow_failure": True,
        "rollback": "./manage.py migrate shop zero",
    }
    argv = {"label": "Test", "command": ["./test", "--all"]}
    assert declared(line, argv) == (
        Command(
            label="Run migrations",
            line="./manage.py migrate",
            timeout=timedelta(minutes=90),
            source=Source.IMAGE,
            allow_failure=True,
            rollback="./manage.py migrate shop zero",
        ),
        Command(label="Test", argv=("./test", "--all"), timeout=DEFAULT, source=Source.IMAGE),
    )


@pytest.mark.parametrize("timeout", [90, 90.0, "90s", "1m30s"])
def test_timeout_is_in_seconds_or_as_people_write_it(timeout: float | str) -> None:
    """Both forms are in use elsewhere."""
    (command,) = declared({"label": "a", "command": "true", "timeout": timeout})
    assert command.timeout == timedelta(seconds=90)


def test_command_for_other_environments_is_not_run() -> None:
    """Those without any are for all."""
    objects = [
        {"label": "a", "command": "true", "environments": ["test"]},
        {"label": "b", "command": "true"},
        {"label": "c", "command": "true", "environments": ["test", "live"]},
    ]
    assert [command.label for command in declared(*objects)] == ["b", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty: [] declares that there are no commands"),
        (" \n", "it is empty: [] declares that there are no commands"),
        ("[", "Input data was truncated"),
        ('[{"label": "a",}]', "JSON is malformed: trailing comma in object (byte 15)"),
        ("{}", "Expected `array`, got `object`"),
        ('["migrate"]', "Expected `object`, got `str` - at `$[0]`"),
        ('[{"label": "a"}]', "Object missing required field `command` - at `$[0]`"),
        ('[{"command": "a"}]', "Object missing required field `label` - at `$[0]`"),
        ('[{"label": 1, "command": "a"}]', "Expected `str`, got `int` - at `$[0].label`"),
        (
            '[{"label": "a", "command": "b"}, {"label": "c", "command": "d", "timout": 3}]',
            "Object contains unknown field `timout` - at `$[1]`",
        ),
        ('[{"label": "a", "command": ["b", 1]}]', "Expected `str`, got `int` - at `$[0].command[1]`"),
    ],
)
def test_what_is_of_another_form_is_refused_with_its_place(text: str, message: str) -> None:
    """Nothing of it is guessed at."""
    with pytest.raises(Malformed) as refused:
        declared_text(text)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"label": " "}, "$[0].label must be one line of 1 to 200 characters"),
        ({"label": "a\nb"}, "$[0].label must be one line of 1 to 200 characters"),
        ({"command": " "}, "$[0].command must not be empty"),
        ({"command": []}, "$[0].command must begin with a program"),
        ({"command": "a\0"}, "$[0].command must not contain a NUL character"),
        ({"command": "a" * 65537}, "$[0].command must be 65536 bytes at most"),
        ({"rollback": " "}, "$[0].rollback must not be empty"),
        ({"timeout": 0}, "$[0].timeout must be more than 0 and 7 days at most"),
        ({"timeout": 1e300}, "$[0].timeout must be seconds, or such as 30m: 1e+300 is too much"),
        (
            {"timeout": "soon"},
            "$[0].timeout must be seconds, or such as 30m: 'soon' is not a duration; write 90s, 30m or 1h30m",
        ),
        (
            {"environments": ["live", "Test"]},
            "$[0].environments[1] must be 1 to 63 lower-case letters, digits and inner hyphens",
        ),
        ({"environments": []}, "$[0].environments must not be empty: leave it out for all environments"),
        ({"environments": ["a", "b", "a"]}, "$[0].environments[2] must not be there twice: 'a'"),
    ],
)
def test_what_no_command_can_be_is_refused_with_its_place(fields: dict[str, Any], message: str) -> None:
    """As a request would be."""
    with pytest.raises(Malformed) as refused:
        declared({"label": "a", "command": "true"} | fields)
    assert str(refused.value) == message


def test_label_that_is_there_twice_is_refused() -> None:
    """Also if both are for other environments: whoever reads it should not have to think of that."""
    twice = {"label": "a", "command": "true", "environments": ["test"]}
    with pytest.raises(Malformed, match=r"^\$\[2\].label is the same as \$\[0\].label: 'a'$"):
        declared(twice, {"label": "b", "command": "true"}, twice)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ('"label": "a", "command": "b", "label": "c"', "$[1].label must not be there twice"),
        (r'"label": "a", "command": "b", "l\u0061bel": "a"', "$[1].label must not be there twice"),
        (
            '"label": "a", "command": "b", "command": "c", "timeout": 1, "timeout": 2, "timeout": 3',
            "$[1].command must not be there twice; $[1].timeout must not be there twice",
        ),
    ],
)
def test_field_that_is_there_twice_is_refused(fields: str, message: str) -> None:
    """Nobody could tell which of the two runs."""
    with pytest.raises(Malformed) as refused:
        declared_text(f'[{{"label": "other", "command": "b"}}, {{{fields}}}]')
    assert str(refused.value) == message


def test_all_that_is_wrong_is_told_but_no_endless_list() -> None:
    """Five places, and how many more there are."""
    with pytest.raises(Malformed) as refused:
        declared(*({"label": " " * number, "command": "true"} for number in range(8)))
    assert str(refused.value).count("must be one line") == 5
    assert str(refused.value).endswith("; and 3 more")


def test_what_is_quoted_is_short_and_in_one_line() -> None:
    """Whatever name somebody has given to a field: it goes into messages and logs."""
    with pytest.raises(Malformed, match=r"unknown field `a\?\?x{1,170}…$"):
        declared({"label": "a", "command": "b", "a\n\x1b" + 100_000 * "x": 1})


def test_quoted_timeout_is_short_too() -> None:
    """What can't be read may be as long as the label."""
    with pytest.raises(Malformed, match=r"or such as 30m: '1{199}…$"):
        declared({"label": "a", "command": "b", "timeout": 100_000 * "1"})


def test_label_that_is_too_long_is_refused_without_being_read() -> None:
    """All releases would wait for it. What may be as long counts in bytes."""
    longest = [{"label": "a", "command": "b", "environments": ["c"]}]
    text = json.dumps(longest)
    padding = LONGEST_DECLARATION - len(text)
    assert declared_text(text + " " * padding) == ()
    for too_long in (text + " " * (padding + 1), "é" * (LONGEST_DECLARATION // 2 + 1)):
        with pytest.raises(Malformed) as refused:
            declared_text(too_long)
        size = len(too_long.encode())
        assert str(refused.value) == f"it has {size} bytes, and {LONGEST_DECLARATION} are the most"


def test_more_commands_than_a_release_may_have_are_refused() -> None:
    """Also if they are for other environments, as in the settings."""
    objects = [{"label": str(number), "command": "", "environments": ["test"]} for number in range(101)]
    with pytest.raises(Malformed, match=r"^\$ has 101 objects, and 100 are the most$"):
        declared(*objects)
    assert declared(*({**each, "command": "a"} for each in objects[:100])) == ()


_JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists).map(json.dumps)


@given(st.text() | _JSON)
def test_whatever_is_declared_is_understood_or_refused(text: str) -> None:
    """Anybody who can build an image can write a label."""
    try:
        commands = declared_text(text)
    except Malformed:
        return
    assert all(command.source is Source.IMAGE for command in commands)


def test_text_that_is_nested_too_deep_is_refused() -> None:
    """As whatever else can't be read."""
    with pytest.raises(Malformed):
        declared_text("[" * 100_000)
