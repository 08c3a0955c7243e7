"""What is said of a command in which a platform that runs no shell sees no operators."""

import os
import shlex
import subprocess

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from releasectl.imports.formats import FORMATS
from releasectl.imports.shell import line_notes, program_notes


def syntax_of(line: str) -> str | None:
    """What the one note about a line names; None if there is no note."""
    notes = [note.text for note in program_notes("here", "Fly", line)]
    return notes[0].partition(": the program")[0] if notes else None


@pytest.mark.parametrize(
    ("line", "syntax"),
    [
        ("./migrate && ./warm-up || ./mourn; ./end", "&&, ||, ;"),
        ("./migrate > /tmp/log 2>&1 | tee log &", ">, 2>&1, |, &"),
        ("./migrate <<EOF", "<<"),
        ("./a $B ${C:-public} $? $(hostname) `id -u`", "$B, ${C:-public}, $?, $(hostname), `id -u`"),
        ('./migrate "to $DATABASE" && echo "$DATABASE"', "$DATABASE, &&"),
        ("./migrate\n./warm-up", "a line break"),
    ],
)
def test_what_only_a_shell_reads(line: str, syntax: str) -> None:
    """Each is named once, in order."""
    assert syntax_of(line) == syntax


@pytest.mark.parametrize(
    "line",
    [
        "bin/rails db:prepare --trace 'a b'",
        "echo 'a && b > $C' 5$ \\&\\& \\$HOME",
        'echo "a && b | c; \\$HOME"',
        "./migrate \\\n  --all\n",
        "sh -c './migrate && ./warm-up > log'",
        '/bin/bash -euc "./migrate $DATABASE && ./warm-up"',
        "sh -c './migrate \"$@\"' sh --all",
        "bash -eo pipefail -c './migrate | tee log'",
        "sh ./deploy.sh -c live now",
    ],
)
def test_what_means_the_same_without_a_shell(line: str) -> None:
    """What is quoted, or the script of a shell that the command starts itself, needs no word."""
    assert syntax_of(line) is None


ANY = st.text("a -&|;<>$\n", max_size=4)
PIECES = st.one_of(
    st.text("ab -$", min_size=1, max_size=4),
    ANY.map("'{}'".format),
    ANY.map('"{}"'.format),
    st.sampled_from(["\\&", "\\$a", "\\'", " ", "|", "\n", "&"]),
)


@given(st.lists(PIECES, min_size=1, max_size=6).map("".join))
def test_nothing_that_a_shell_reads_is_missed(line: str) -> None:
    """What gets no note is split by /bin/sh into the same words as here."""
    words = shlex.split(line)
    assume(words and syntax_of(line) is None)
    script = f"printf '%s\\0' {line.strip()}"
    result = subprocess.run(["/bin/sh", "-c", script], capture_output=True, check=True, env={}, cwd=os.sep)
    assert result.stdout.decode().split("\0")[:-1] == words


def test_a_script_in_a_file_is_no_line() -> None:
    """Its arguments are no business of the shell's, so an operator among them is one for nobody."""
    assert syntax_of("sh ./deploy.sh -c live && ./warm-up") == "&&"


def test_a_shell_that_gets_half_of_its_line() -> None:
    """`sh -c` takes one word; what is behind it would be lost without a sign."""
    line = "/bin/bash -c python manage.py migrate && ./warm-up"
    lost = (
        "/bin/bash runs 'python' and nothing of what is behind it:"
        " put all that it is to run into one pair of quotes"
    )
    assert [note.text for note in line_notes("here", line)] == [lost]
    assert [note.text for note in program_notes("here", "Fly", line)] == [lost]


@pytest.mark.parametrize(
    "line", ["sh -c './migrate' && ./warm-up", "bash -c './a \"$1\"' bash x", "sh ./a.sh", "don't"]
)
def test_a_shell_that_gets_all_of_it(line: str) -> None:
    """Behind an operator is another command, and a script may read its arguments."""
    assert list(line_notes("here", line)) == []


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("procfile", "release: ./a && ./b $C"),
        ("heroku", "release: {command: ['./a && ./b $C']}"),
        ("render", "services: [{name: a, preDeployCommand: './a && ./b $C'}]"),
    ],
)
def test_platforms_with_a_shell(format: str, text: str) -> None:
    """There is nothing to say where the line means the same here."""
    found = FORMATS[format].read(text)
    assert (found.notes, found.commands[0].command.line) == ((), "./a && ./b $C")


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("procfile", "release: sh -c ./a b"),
        ("heroku", "release: {command: [./c, sh -c ./a b]}"),
        ("render", "services: [{name: a, preDeployCommand: sh -c ./a b}]"),
        ("railway-toml", "deploy.preDeployCommand = 'sh -c ./a b'"),
        ("app-json", '{"scripts": {"dokku": {"predeploy": "sh -c ./a b"}}}'),
        ("fly", "deploy.release_command = 'sh -c ./a b'"),
        ("compose", "services: {web: {command: sh -c ./a b}}"),
    ],
)
def test_every_format_says_it(format: str, text: str) -> None:
    """With the place of the very command."""
    read = FORMATS[format]
    found = read.read(text, "web") if format == "compose" else read.read(text)
    assert (found.notes[0].place, found.notes[0].text.partition(" and ")[0]) == (
        found.commands[-1].place,
        "sh runs './a'",
    )
