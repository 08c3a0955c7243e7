"""Release commands from a Procfile."""

import pytest

from releasectl.imports.formats import FORMATS
from releasectl.imports.found import ImportFailed
from support.imports import file_text, lines_of

PROCFILE = FORMATS["procfile"]


def test_the_release_line() -> None:
    """It is for a shell: variables and operators are left as they are."""
    found = PROCFILE.read(file_text("Procfile"))
    line = 'python manage.py migrate --database "$DATABASE" && ./notify'
    assert lines_of(found) == [("line 4: release", "Release command", line)]
    assert found.others == ("web", "worker")
    assert found.notes == ()


def test_lines_of_windows() -> None:
    """A carriage return is not a part of the command."""
    found = PROCFILE.read("web: ./serve\r\nrelease: ./migrate\r\n")
    assert lines_of(found) == [("line 2: release", "Release command", "./migrate")]


def test_a_colon_in_the_command() -> None:
    """The first one ends the process type."""
    assert lines_of(PROCFILE.read("release: rake db:migrate"))[0][2] == "rake db:migrate"


def test_many_process_types() -> None:
    """An error that names them can still be read."""
    with pytest.raises(ImportFailed) as failed:
        PROCFILE.read("".join(f"worker{number}: ./work\n" for number in range(34)))
    assert str(failed.value) == (
        "has no line `release: command`; it has worker0, worker1, worker2, worker3, worker4, worker5,"
        " worker6, worker7, worker8, worker9 and 24 more"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("web: ./serve\nworker: ./work\n", "has no line `release: command`; it has web, worker"),
        ("", "has no line `release: command`; it has nothing"),
        ("web: ./serve\nrelease:  \n", "line 2: release: is empty"),
        ("release: ./a\n# more\nrelease: ./b\n", "line 3: release: is on line 1 already"),
        ("release: ./a\nweb: ./b\nweb: ./c\n", "line 3: web: is on line 2 already"),
        ("release: ./a\n./serve\n", "line 2: must have the form `process type: command`"),
        ("release: ./a\n./ser ve: x\n", "line 2: must have the form `process type: command`"),
        ("release: ./a\0b\n", "line 1: release: has a NUL character"),
    ],
)
def test_what_is_no_procfile(text: str, message: str) -> None:
    """The line that is wrong is named."""
    with pytest.raises(ImportFailed) as failed:
        PROCFILE.read(text)
    assert str(failed.value) == message
