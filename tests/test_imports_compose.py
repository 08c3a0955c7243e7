"""Release commands from a Compose file."""

import pytest

from releasectl.imports.formats import FORMATS
from releasectl.imports.found import ImportFailed
from support.imports import file_text, notes_of

COMPOSE = FORMATS["compose"]


def test_a_command_that_is_a_text() -> None:
    """It is split into words, for no shell; two dollar signs stand for one."""
    (only,) = COMPOSE.read(file_text("compose.yaml"), "migrate").commands
    assert (only.place, only.command.label) == ("services.migrate.command", "migrate")
    assert only.command.argv == ["/bin/sh", "-c", 'echo "migrating $HOSTNAME"; exec ./migrate']


def test_what_is_not_taken() -> None:
    """What a release may be given in another way is named, merged keys as well, the rest in brief."""
    found = COMPOSE.read(file_text("compose.yaml"), "migrate")
    assert notes_of(found) == [
        ("services.migrate.entrypoint", "not taken: the image's own runs; `run --entrypoint` replaces it"),
        ("services.migrate.environment", "not taken: `run --env` sets variables"),
        ("services.migrate.depends_on", "not taken: what a command needs has to run already"),
        (
            "services.migrate.profiles",
            "not taken: a command runs in each release, or in those of its environments",
        ),
    ]
    assert found.others == (
        "x-common",
        "services.web",
        "services.warm-up",
        "services.db",
        "services.migrate.image",
        "services.migrate.restart",
    )


def test_a_command_that_is_a_list() -> None:
    """It is an argv; a variable is left as it is, and that is said."""
    found = COMPOSE.read(file_text("compose.yaml"), "warm-up")
    assert found.commands[0].command.argv == ["./warm-up", "--host", "${SHOP_HOST:-localhost}"]
    assert notes_of(found)[0] == (
        "services.warm-up.command",
        "${SHOP_HOST:-localhost}: left as it is: Compose would put a value of its own environment there,"
        " and no shell reads this command",
    )


def test_one_notice_for_all_variables() -> None:
    """Each is named once; a shell of the command's own will read them, though not with Compose's values."""
    found = COMPOSE.read("services: {job: {command: \"sh -c './a $$B $C && ./d $C ${E}'\"}}", "job")
    assert found.commands[0].command.argv == ["sh", "-c", "./a $B $C && ./d $C ${E}"]
    assert notes_of(found) == [
        (
            "services.job.command",
            "$C, ${E}: left as it is: Compose would put a value of its own environment there, and its own"
            " shell reads this command",
        )
    ]


@pytest.mark.parametrize(
    ("command", "syntax"),
    [
        ("./migrate $$HOME && ./warm-up > /tmp/log", "$HOME, &&, >"),
        ("['./migrate', '&&', './warm-up']", "&&"),
    ],
)
def test_what_only_a_shell_would_read(command: str, syntax: str) -> None:
    """The program gets it as Compose would hand it over, and that is said once, with what to write."""
    found = COMPOSE.read(f"services: {{job: {{command: {command}}}}}", "job")
    assert notes_of(found) == [
        (
            "services.job.command",
            f"{syntax}: the program gets that as it stands, as from Compose, which runs no shell; what a"
            " shell is to read has to be written as `sh -c '…'`",
        )
    ]


@pytest.mark.parametrize(
    ("written", "argv"),
    [
        ("./a $$HOME", ["./a", "$HOME"]),
        ("./a $$$$", ["./a", "$$"]),
        ("./a $HOME", ["./a", "$HOME"]),
        ("./a $$$HOME", ["./a", "$$HOME"]),
        ("./a $5", ["./a", "$5"]),
    ],
)
def test_dollar_signs(written: str, argv: list[str]) -> None:
    """Only pairs of them become one, in a text as in a list."""
    for command in (f"'{written}'", f"[{', '.join(written.split())}]"):
        found = COMPOSE.read(f"services: {{a: {{command: {command}}}}}", "a")
        assert found.commands[0].command.argv == argv


@pytest.mark.parametrize(
    ("text", "service", "message"),
    [
        (
            "services: {web: {command: ./serve}, db: {image: x}}",
            "",
            "services: choose one with --service; services with a command: web",
        ),
        ("version: '3'", "", "has no services; it has version"),
        ("scripts: {a: b}", "job", "has no services; it has scripts"),
        ("services: {}", "", "has no services; it has nothing"),
        ("services: {db: {image: x}}", "", "has no service with a command; it has the services db"),
        ("services: {web: {command: ./serve}}", "job", "has no service 'job'; it has web"),
        (
            "services: {web: {command: ./serve}, db: {image: x}}",
            "db",
            "services.db.command: there is none; services with one: web",
        ),
        ("services: {web: {command: ''}}", "web", "services.web.command: is empty"),
        ("services: {web: {command: []}}", "web", "services.web.command: names no program"),
        ("services: {web: {command: ['', a]}}", "web", "services.web.command: names no program"),
        (
            "services: {web: {command: [./a, 1]}}",
            "web",
            "services.web.command[1]: must be a text, not a number",
        ),
        ("services: {web: {command: {a: b}}}", "web", "services.web.command: must be a text, not a mapping"),
        (
            "services: {web: {command: './a \"'}}",
            "web",
            "services.web.command: can't be split into words as a shell does: No closing quotation",
        ),
        ("services: [web]", "web", "services: must be a mapping, not a list"),
        ("services: {web: ./serve}", "web", "services.web: must be a mapping, not a text"),
        (
            "services: {1: {command: a}}",
            "1",
            "services: the name of a service must be a text of one line, not 1",
        ),
        (
            "services:\n  web:\n    command: !reset ./a",
            "web",
            "line 3, column 14: could not determine a constructor for the tag '!reset'",
        ),
    ],
)
def test_what_can_not_be_taken(text: str, service: str, message: str) -> None:
    """The key or the line that is wrong is named, and what there is to choose from."""
    with pytest.raises(ImportFailed) as failed:
        COMPOSE.read(text, service)
    assert str(failed.value) == message
