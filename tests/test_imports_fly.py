"""Release commands from a fly.toml."""

from datetime import timedelta

import pytest

from releasectl.imports.formats import FORMATS
from releasectl.imports.found import ImportFailed
from support.imports import file_text, notes_of

FLY = FORMATS["fly"]


def test_the_release_command() -> None:
    """No shell reads it there, so none does here: it is an argv, with its timeout."""
    found = FLY.read(file_text("fly.toml"))
    (only,) = found.commands
    assert (only.place, only.command.label) == ("deploy.release_command", "Release command")
    assert (only.command.line, only.command.argv) == (None, ["bin/rails", "db:prepare", "--trace", "a b"])
    assert only.command.timeout == timedelta(hours=1, minutes=10)


def test_what_is_not_taken() -> None:
    """What belongs to release commands is named with a reason, the rest in brief."""
    found = FLY.read(file_text("fly.toml"))
    assert notes_of(found) == [
        ("deploy.release_command_vm", "not taken: `run --memory` and `--cpus` limit a release's container"),
        ("experimental.entrypoint", "not taken: the image's own runs; `run --entrypoint` replaces it"),
    ]
    assert found.others == ("app", "primary_region", "build", "experimental", "env", "deploy.strategy")


def test_keys_that_nobody_knows() -> None:
    """One that begins as release commands do might matter."""
    found = FLY.read('[deploy]\nrelease_command = "./a"\nrelease_command_retries = 2\nseed_command = "./b"')
    assert notes_of(found) == [
        ("deploy.release_command_retries", "not taken"),
        ("deploy.seed_command", "not taken: there is no first release that differs from the others"),
    ]


def test_variables_are_left_as_they_are() -> None:
    """Nobody expands them there either."""
    assert FLY.read("deploy.release_command = './a $HOME'").commands[0].command.argv == ["./a", "$HOME"]


@pytest.mark.parametrize(
    ("written", "seconds"), [("90s", 90), ("1.5h", 5400), ("1m30s", 90), ("500ms", 0.5), (".5s", 0.5)]
)
def test_durations(written: str, seconds: float) -> None:
    """They are Go's."""
    found = FLY.read(f'deploy.release_command = "./a"\ndeploy.release_command_timeout = "{written}"')
    assert found.commands[0].command.timeout == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'app = "shop"\n[deploy]\nstrategy = "rolling"',
            "has no deploy.release_command; it has app, deploy.strategy",
        ),
        ("", "is empty"),
        ("deploy.release_command = 7", "deploy.release_command: must be a text, not a number"),
        ("deploy.release_command = ['a']", "deploy.release_command: must be a text, not a list"),
        ("deploy.release_command = ' '", "deploy.release_command: is empty"),
        (
            "deploy.release_command = 'a \"b'",
            "deploy.release_command: can't be split into words as a shell does: No closing quotation",
        ),
        ("deploy.release_command = '\"\" a'", "deploy.release_command: names no program"),
        ("deploy = 'x'", "deploy: must be a mapping, not a text"),
        (
            "deploy.release_command = './a'\ndeploy.release_command_timeout = 600",
            "deploy.release_command_timeout: must be a text, not a number",
        ),
        (
            "deploy.release_command = './a'\ndeploy.release_command_timeout = '10'",
            "deploy.release_command_timeout: must be a duration such as 90s, 10m or 1h30m, not '10'",
        ),
        (
            "deploy.release_command = './a'\ndeploy.release_command_timeout = '-5m'",
            "deploy.release_command_timeout: must be a duration such as 90s, 10m or 1h30m, not '-5m'",
        ),
        (
            f"deploy.release_command = './a'\ndeploy.release_command_timeout = '{'999999999h' * 40}'",
            "deploy.release_command_timeout: is longer than the 292 years of a Go duration",
        ),
        (
            "deploy.release_command = './a'\ndeploy.release_command_timeout = '0s'",
            "deploy.release_command_timeout: must be more than 0",
        ),
        (
            "release: ./migrate",
            "is not TOML: Expected '=' after a key in a key/value pair (at line 1, column 8)",
        ),
        ("a = 1\na = 2", "is not TOML: Cannot overwrite a value (at end of document)"),
    ],
)
def test_what_is_no_fly_toml(text: str, message: str) -> None:
    """The key or the line that is wrong is named."""
    with pytest.raises(ImportFailed) as failed:
        FLY.read(text)
    assert str(failed.value) == message
