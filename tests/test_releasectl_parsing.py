"""What people write on the command line is read as they mean it, or refused with the form expected."""

from datetime import UTC, datetime, timedelta

import pytest

from releasectl import Command, Mount
from releasectl.parsing import (
    parse_command,
    parse_duration,
    parse_env_file,
    parse_mount,
    parse_pair,
    parse_program,
    parse_release_name,
    parse_scope,
    parse_secret,
    parse_since,
    parse_size,
    parse_variable,
)

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1d2h3m4.5s", timedelta(days=1, hours=2, minutes=3, seconds=4.5)),
        ("0.5s", timedelta(milliseconds=500)),
        ("0s", timedelta(0)),
    ],
)
def test_durations(text: str, expected: timedelta) -> None:
    """Units may be combined, the largest first."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", ["", "90", "1.5h", "-1s", "30m1h", "s", "1 h", "1h ", "99999999d"])
def test_what_is_not_a_duration(text: str) -> None:
    """A number without a unit is not guessed at."""
    with pytest.raises(ValueError, match="write 90s, 30m or 1h30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512m", 512 * 2**20),
        ("2g", 2 * 2**30),
        ("1.5G", 3 * 2**29),
        ("64k", 64 * 2**10),
        ("1t", 2**40),
        ("12345", 12345),
        ("12345b", 12345),
        ("512MiB", 512 * 2**20),
        ("512 MB", 512 * 2**20),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    """Units are those of docker, of 1024."""
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "m", "-1m", "1x", "1e9", "999999999999999t"])
def test_what_is_not_a_size(text: str) -> None:
    """Nothing is rounded into something else."""
    with pytest.raises(ValueError, match=r"is not a size|more than any machine"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("migrate=./migrate", Command("migrate", "./migrate")),
        ("update headers=a=b ./run --x=y", Command("update headers", "a=b ./run --x=y")),
        (" migrate = ./migrate ", Command("migrate", "./migrate")),
        ("many=one\ntwo", Command("many", "one\ntwo")),
    ],
)
def test_commands(text: str, expected: Command) -> None:
    """The first equals sign ends the label."""
    assert parse_command(text) == expected


@pytest.mark.parametrize("text", ["", "python manage.py migrate", "=./migrate", "migrate=", " = "])
def test_what_is_not_a_command(text: str) -> None:
    """Without a usable label the form is shown."""
    with pytest.raises(ValueError, match=r"'label=shell line', such as 'migrate=./migrate'"):
        parse_command(text)


@pytest.mark.parametrize(
    ("text", "argv"),
    [
        ("migrate=./manage migrate --noinput", ["./manage", "migrate", "--noinput"]),
        (" migrate = ./manage  migrate\n--noinput ", ["./manage", "migrate", "--noinput"]),
        ("say=/bin/say 'two words' \"it's\" \\$HOME ''", ["/bin/say", "two words", "it's", "$HOME", ""]),
        ("all=ls $HOME *.py `id` # ; | a=b", ["ls", "$HOME", "*.py", "`id`", "#", ";", "|", "a=b"]),
    ],
)
def test_programs(text: str, argv: list[str]) -> None:
    """It is split as a shell does, and nothing is expanded: there is no shell to do it."""
    command = parse_program(text)
    assert (command.line, command.argv) == (None, argv)
    assert command.label == text.partition("=")[0].strip()


@pytest.mark.parametrize("text", ["", "./manage migrate", "=./migrate", "migrate=", " = "])
def test_what_is_not_a_program(text: str) -> None:
    """Without a label or a program the form is shown."""
    with pytest.raises(ValueError, match=r"'label=program arguments', such as 'migrate=./migrate --yes'"):
        parse_program(text)


@pytest.mark.parametrize("text", ["say=echo 'open", "say=echo open\\"])
def test_a_program_that_can_t_be_split(text: str) -> None:
    """An open quote has no end that could be guessed."""
    with pytest.raises(ValueError, match="can't be split as a shell does"):
        parse_program(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/srv/media:/media", Mount("/srv/media", "/media")),
        ("/srv/media:/media:ro", Mount("/srv/media", "/media", read_only=True)),
        ("data:/data:rw", Mount("data", "/data")),
    ],
)
def test_mounts(text: str, expected: Mount) -> None:
    """The form is that of docker."""
    assert parse_mount(text) == expected


@pytest.mark.parametrize("text", ["", "/media", "/media:", ":/media", "/a:/b:z", "/a:/b:ro:x"])
def test_what_is_not_a_mount(text: str) -> None:
    """An unknown mode is not ignored."""
    with pytest.raises(ValueError, match="SRC:DST or SRC:DST:ro"):
        parse_mount(text)


def test_pairs() -> None:
    """The first equals sign ends the name; a value may be empty."""
    assert parse_pair("ticket=a=b") == {"ticket": "a=b"}
    assert parse_pair("ticket=") == {"ticket": ""}


@pytest.mark.parametrize("text", ["", "ticket", "=x"])
def test_what_is_not_a_pair(text: str) -> None:
    """A label without a value is a mistake."""
    with pytest.raises(ValueError, match="write NAME=VALUE"):
        parse_pair(text)


def test_variables() -> None:
    """A name alone takes the caller's value, and nothing if there is none, as with docker."""
    environ = {"TOKEN": "geheim"}
    assert parse_variable("A=b=c", environ) == {"A": "b=c"}
    assert parse_variable("A=", environ) == {"A": ""}
    assert parse_variable("TOKEN", environ) == {"TOKEN": "geheim"}
    assert parse_variable("NONE", environ) == {}
    with pytest.raises(ValueError, match="write NAME=VALUE or NAME"):
        parse_variable("=x", environ)


def test_env_files() -> None:
    """The format is docker's: no quoting, no expansion, comments on lines of their own."""
    content = b"""\xef\xbb\xbfA=1
# a comment
   # another
   B="quoted" # not a comment
C=
EMPTY

TOKEN
D= a=b \r
A=2
"""
    assert parse_env_file(content, {"TOKEN": "geheim"}) == {
        "A": "2",
        "B": '"quoted" # not a comment',
        "C": "",
        "TOKEN": "geheim",
        "D": " a=b ",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"A=1\nA B=2\n", "line 2: 'A B' is not the name of a variable"),
        (b"=1\n", "line 1: '' is not the name of a variable"),
        (b"export A=1", "line 1: 'export A' is not"),
        (b"A=\xff", "not UTF-8"),
    ],
)
def test_what_is_not_an_env_file(content: bytes, message: str) -> None:
    """The line is named."""
    with pytest.raises(ValueError, match=message):
        parse_env_file(content, {})


def test_since_an_age() -> None:
    """An age counts back from now."""
    assert parse_since("1d", NOW) == NOW - timedelta(days=1)
    assert parse_since("2h", NOW) == NOW - timedelta(hours=2)


def test_since_a_date() -> None:
    """A time zone is taken as it is written; without one it is the caller's."""
    assert parse_since("2026-01-01T00:00:00Z", NOW) == datetime(2026, 1, 1, tzinfo=UTC)
    assert parse_since("2026-01-01T02:00+02:00", NOW) == datetime(2026, 1, 1, tzinfo=UTC)
    assert parse_since("2026-01-01", NOW) == datetime(2026, 1, 1).astimezone()


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "1x", ""])
def test_what_is_not_a_since(text: str) -> None:
    """Both forms are shown."""
    with pytest.raises(ValueError, match="write "):
        parse_since(text, NOW)


def test_release_names() -> None:
    """Both the resource name and the bare UUID name a release."""
    uuid = "01939d3b-7e4a-7cc3-98c4-dc0c0c07398f"
    assert parse_release_name(uuid) == f"releases/{uuid}"
    assert parse_release_name(f"releases/{uuid.upper()}") == f"releases/{uuid}"
    with pytest.raises(ValueError, match="releases/UUID or UUID, not 'shop/live'"):
        parse_release_name("shop/live")


def test_scopes() -> None:
    """History may be asked for an application or one of its environments."""
    assert parse_scope("shop") == ("shop", "")
    assert parse_scope("shop/live") == ("shop", "live")
    for text in ("", "/live", "shop/", "a/b/c"):
        with pytest.raises(ValueError, match="write APP or APP/ENV"):
            parse_scope(text)


def test_a_secret_that_is_not_there_is_refused() -> None:
    """A release would run without it, and nobody would know why it failed."""
    assert parse_secret("TOKEN", {"TOKEN": "geheim"}) == {"TOKEN": "geheim"}
    assert parse_secret("TOKEN=", {}) == {"TOKEN": ""}
    with pytest.raises(ValueError, match="TOKEN is not set in your environment"):
        parse_secret("TOKEN", {})


@pytest.mark.parametrize("text", ["999999d", "٣s"])
def test_an_age_that_is_none_is_refused(text: str) -> None:
    """Whether it is longer than the calendar or written in other digits."""
    with pytest.raises(ValueError, match="neither an age nor a date"):
        parse_since(text, datetime(2026, 1, 31, tzinfo=UTC))


def test_no_memory_at_all_is_refused() -> None:
    """0 would mean no limit."""
    with pytest.raises(ValueError, match="leave it out"):
        parse_size("0.5")
