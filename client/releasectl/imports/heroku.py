"""heroku.yml: ``release.command``.

https://devcenter.heroku.com/articles/build-docker-images-heroku-yml (sections release and run) has a list of
lines there, each for a shell; a text alone is one line. ``release.image`` names the process type whose image
runs them.
"""

from __future__ import annotations

from .documents import read_yaml
from .fields import Field, listed
from .found import Found, ImportFailed, Note, shell_lines
from .shell import line_notes


def read(text: str) -> Found:
    """Return the lines of ``release.command``, a command for each."""
    document = read_yaml(text)
    release = document.get("release")
    lines = _lines(release.get("command"))
    others = document.others("release")
    if not lines:
        raise ImportFailed(f"has no release.command; it has {listed((*release.others(), *others))}")
    notes = [note for place, line in lines for note in line_notes(place, line)]
    notes += [Note(place, "not taken") for place in release.others("command", "image")]
    if release.get("image").value is not None:
        notes.append(Note(release.get("image").place, "not taken: each release says which image it runs in"))
    return Found(shell_lines("Release command", lines), tuple(notes), others)


def _lines(command: Field) -> list[tuple[str, str]]:
    if command.value is None:
        return []
    if command.value == []:
        raise ImportFailed(f"{command.place}: is empty")
    fields = command.elements() if isinstance(command.value, list) else [command]
    return [(field.place, field.line()) for field in fields]
