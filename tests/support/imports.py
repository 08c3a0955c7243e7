"""The files in tests/data/imports, and what was found in one, in brief."""

from pathlib import Path

from releasectl.imports.found import Found

FILES = Path(__file__).parents[1] / "data/imports/good"


def file_text(name: str) -> str:
    """The text of a file of that name, as its platform's documentation has it."""
    return FILES.joinpath(name).read_text()


def lines_of(found: Found) -> list[tuple[str, str, str]]:
    """Where each command stands, its label and its line for a shell."""
    return [(each.place, each.command.label, each.command.line or "") for each in found.commands]


def notes_of(found: Found) -> list[tuple[str, str]]:
    """What is said of each place."""
    return [(note.place, note.text) for note in found.notes]
