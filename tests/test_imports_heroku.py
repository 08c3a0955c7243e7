"""Release commands from a heroku.yml."""

import pytest

from releasectl.imports.formats import FORMATS
from releasectl.imports.found import ImportFailed
from support.imports import file_text, lines_of, notes_of

HEROKU = FORMATS["heroku"]


def test_a_list_of_lines() -> None:
    """Each is a command of its own, with a number from the second on; the image is that of each release."""
    found = HEROKU.read(file_text("heroku.yml"))
    assert lines_of(found) == [
        ("release.command[0]", "Release command", "python manage.py collectstatic --noinput"),
        ("release.command[1]", "Release command 2", "python manage.py migrate --noinput"),
    ]
    assert notes_of(found) == [("release.image", "not taken: each release says which image it runs in")]
    assert found.others == ("setup", "build", "run")


def test_a_line_alone() -> None:
    """A text is one command."""
    found = HEROKU.read("release: {command: rake db:migrate}")
    assert lines_of(found) == [("release.command", "Release command", "rake db:migrate")]


def test_other_labels() -> None:
    """Those that are asked for are numbered in the same way."""
    found = HEROKU.read(file_text("heroku.yml")).labelled("Prepare")
    assert [each.command.label for each in found.commands] == ["Prepare", "Prepare 2"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("run: {web: ./serve}", "has no release.command; it has run"),
        (
            "release: {image: web, script: ./x}",
            "has no release.command; it has release.image, release.script",
        ),
        ("release: {command: []}", "release.command: is empty"),
        ("release: ./migrate", "release: must be a mapping, not a text"),
        ("release: {command: 7}", "release.command: must be a text, not a number"),
        ("release: {command: [./a, [./b]]}", "release.command[1]: must be a text, not a list"),
        ("release: {command: [./a, ' ']}", "release.command[1]: is empty"),
        ("release: {command: [./a, ]}\nrelease: {}", "line 2, column 1: release: is there twice"),
        ("- release", "must be a mapping, not a list"),
        ("release: [", "line 1, column 11: expected the node content, but found '<stream end>'"),
    ],
)
def test_what_is_no_heroku_yml(text: str, message: str) -> None:
    """The key or the line that is wrong is named."""
    with pytest.raises(ImportFailed) as failed:
        HEROKU.read(text)
    assert str(failed.value) == message


def test_unknown_keys_beside_the_command() -> None:
    """They are named: they might matter."""
    found = HEROKU.read("release: {command: ./a, timeout: 5}")
    assert notes_of(found) == [("release.timeout", "not taken")]
