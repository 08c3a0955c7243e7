"""The reference of the command line says all there is, and nothing that is not there."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from releasectl.cli import commands
from releasectl.exit_codes import ExitCode

PAGE = Path(__file__).parent.parent.joinpath("docs/releasectl.md").read_text()
SECTIONS = dict(
    re.findall(r"^## `releasectl ([a-z ]*[a-z]).*?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
)


def verbs_of(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from verbs_of(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


VERBS = dict(verbs_of(commands))


def options_of(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            yield from parameter.opts


@pytest.mark.parametrize("name", VERBS)
def test_every_command_and_option_is_documented(name: str) -> None:
    """Whoever adds an option writes a line about it."""
    section = SECTIONS[name] + SECTIONS[name].split("\n", 1)[0]
    missing = [option for option in options_of(VERBS[name]) if f"`{option}" not in section]
    assert missing == []


def test_no_command_is_documented_that_is_not_there() -> None:
    """Whoever removes a command removes its section."""
    assert set(SECTIONS) == set(VERBS)


@pytest.mark.parametrize("name", VERBS)
def test_no_option_is_documented_that_is_not_there(name: str) -> None:
    """Whoever removes an option removes its line."""
    documented = set(re.findall(r"^\| `(-[^ `]+)", SECTIONS[name], re.MULTILINE))
    assert documented <= set(options_of(VERBS[name]))


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_documented(code: ExitCode) -> None:
    """Scripts are written against them."""
    assert f"| {code.value} |" in PAGE
