"""Where a key of the configuration file is, and what it is called."""

import pytest

from released.config.keys import BadKey, Key, line_of, name_of, parse_path

TEXT = """\
# The daemon of this host.
[server]

# Where agents find it.
socket = "/run/r.sock"

[access]
admin = ["root"]
deploy = [
    { user = "ci" },  # a bracket ] in a comment
    { group = "shop" },
]

[policy."shop/*"]
images = [
    "shop:*",
]
note = '''
[server]
'''
[[lists]]
one = 1
[[lists]]
two = 2
"""


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("server",), 2),
        (("server", "socket"), 5),
        (("access", "admin", 0), 8),
        (("access", "deploy"), 9),
        (("access", "deploy", 1, "group"), 9),
        (("policy", "shop/*"), 14),
        (("policy", "shop/*", "images", 0), 15),
        (("policy", "shop/*", "note"), 18),
        (("lists", 0, "one"), 22),
        (("lists", 1), 23),
        (("lists", 1, "two"), 24),
        (("server", "mode"), 2),
        (("policy", "blog/*", "images"), 14),
        (("lists", 2, "one"), 21),
        (("engine", "url"), None),
    ],
    ids=str,
)
def test_line_of_a_key(key: Key, line: int | None) -> None:
    """Where its value begins; of a key that is not there, where what is around it begins."""
    assert line_of(TEXT, key) == line


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (("server",), "[server]"),
        (("server", "socket"), "[server] socket"),
        (("access", "deploy", 0, "group"), "[access] deploy[0].group"),
        (("policy", "shop/*", "images", 1), '[policy] "shop/*".images[1]'),
    ],
    ids=str,
)
def test_name_of_a_key(key: Key, name: str) -> None:
    """Its table in brackets, as in the file."""
    assert name_of(key) == name


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("", ()),
        (".server.socket", ("server", "socket")),
        (".access.deploy[10].group", ("access", "deploy", 10, "group")),
    ],
)
def test_path_as_msgspec_writes_it(path: str, key: Key) -> None:
    """Behind its dollar sign."""
    assert parse_path(path) == key


def test_error_names_file_line_and_key() -> None:
    """In the form in which editors find a place."""
    error = BadKey(("server", "socket"), "use an absolute path").in_file("/etc/r.toml", TEXT)
    assert str(error) == "/etc/r.toml, line 5: [server] socket: use an absolute path"


@pytest.mark.parametrize("character", ["\u2028", "\u2029", "\x85"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_end_as_in_toml(character: str, end: str) -> None:
    """Other characters, which Unicode has as ends of lines, end none."""
    text = f"# one{character}line{end}[server]{end}socket = '/a{character}b'{end}sockets = 1{end}"
    assert line_of(text, ("server", "sockets")) == 4
