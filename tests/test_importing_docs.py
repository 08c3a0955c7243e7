"""What docs/importing.md says becomes of each file is what becomes of it."""

import re
import shlex
from pathlib import Path

import pytest

from releasectl.formatting import duration
from releasectl.imports.formats import FORMATS
from releasectl.imports.names import FILE_NAMES

PAGE = Path(__file__).parent.parent.joinpath("docs/importing.md").read_text()
SECTIONS = {
    section.split("`--format ", 1)[1].split("`", 1)[0]: section
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
}


def test_every_format_has_a_section() -> None:
    """Whoever adds a format writes one, and no other is described."""
    assert set(SECTIONS) == set(FORMATS)


@pytest.mark.parametrize("name", FORMATS)
def test_the_names_of_its_files(name: str) -> None:
    """By which it is recognised."""
    assert [file for file in FILE_NAMES[name] if f"`{file}`" not in SECTIONS[name]] == []


@pytest.mark.parametrize("name", FORMATS)
def test_the_example(name: str) -> None:
    """It is read, and becomes what the table below it says."""
    match = re.search(
        r"```\w*\n(.*?)```\n\n\| label .*?\n\|---.*?\n(.*?)\n(?:\n|\Z)", SECTIONS[name] + "\n", re.DOTALL
    )
    assert match
    rows = [tuple(cell.strip().strip("`") for cell in row.split("|")[1:-1]) for row in match[2].splitlines()]
    found = FORMATS[name].read(match[1], "migrate" if name == "compose" else "")
    commands = [each.command for each in found.commands]
    assert rows == [
        (
            command.label,
            command.line or shlex.join(command.argv or ()),
            duration(command.timeout.total_seconds()) if command.timeout else "",
        )
        for command in commands
    ]
