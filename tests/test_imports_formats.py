"""Which format a file has, and that no text whatever does worse than be refused."""

from contextlib import suppress
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from releasectl.imports.formats import FORMATS, Format
from releasectl.imports.found import ImportFailed
from releasectl.imports.names import recognise
from support.imports import FILES, file_text


@pytest.mark.parametrize("path", sorted(FILES.iterdir()), ids=lambda path: path.name)
def test_each_file_is_recognised(path: object) -> None:
    """By the name that its platform gave it."""
    name = str(path).rpartition("/")[2]
    assert name in FORMATS[recognise(name)].file_names


def test_every_format_has_a_file_here() -> None:
    """Whoever adds a format writes one."""
    assert {recognise(path.name) for path in FILES.iterdir()} == set(FORMATS)


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("Procfile.dev", "procfile"),
        ("heroku.review.yml", "heroku"),
        ("fly.production.toml", "fly"),
        ("render.staging.yaml", "render"),
        ("railway.worker.json", "railway-json"),
        ("railway.worker.toml", "railway-toml"),
        ("app.ci.json", "app-json"),
        ("docker-compose.prod.yml", "compose"),
        ("compose.override.yaml", "compose"),
    ],
)
def test_a_name_with_a_part_of_its_own(name: str, format: str) -> None:
    """People have one file for each environment."""
    assert recognise(name) == format


@pytest.mark.parametrize("name", ["procfile", "fly.toml.orig", "flyxtoml", "my.fly.toml", "package.json", ""])
def test_a_name_that_nobody_knows(name: str) -> None:
    """What it is has to be said."""
    with pytest.raises(ImportFailed, match=r"^its name is none of Procfile, heroku\.yml, .*--format"):
        recognise(name)


@pytest.mark.parametrize(
    "each", [each for each in FORMATS.values() if not each.has_services], ids=lambda x: x.name
)
def test_services_where_there_are_none(each: Format) -> None:
    """Whoever names one has another file in mind."""
    with pytest.raises(ImportFailed, match="has no services: leave out --service"):
        each.read(file_text(each.file_names[0]), "web")


@pytest.mark.parametrize(
    ("format", "message"),
    [
        ("heroku", "is empty"),
        ("compose", "is nested too deeply"),
        ("fly", "is nested too deeply"),
        ("app-json", "is nested too deeply"),
    ],
)
def test_what_is_nested_too_deeply(format: str, message: str) -> None:
    """It ends the parser, not the client."""
    texts = {"heroku": "", "compose": "[" * 1_000, "fly": "a = " + "[" * 10_000, "app-json": "[" * 100_000}
    with pytest.raises(ImportFailed, match=message):
        FORMATS[format].read(texts[format], "web" if FORMATS[format].has_services else "")


def test_yaml_that_merges_without_end() -> None:
    """A few lines could fill the memory: each doubles what the one before it has."""
    lines = [f"x{number}: &x{number} {{<<: [*x{number - 1}, *x{number - 1}]}}" for number in range(1, 64)]
    text = "\n".join(["x0: &x0 {a: b}", *lines, "release: {command: ./a}"])
    with pytest.raises(ImportFailed, match=r"^line 15, column 6: has more than 10000 keys merged in$"):
        FORMATS["heroku"].read(text)


@pytest.mark.parametrize(
    "scalar",
    [
        "!!int x",
        "!!int ''",
        "!!bool maybe",
        "!!timestamp x",
        "2026-02-31",
        "!!float ''",
        "1" * 5000,
        "!!binary 'é'",
        "*nobody",
        "{[a]: b}",
        "? {a: b}",
        "%",
        "\t- a",
        "a: b\n---\nc: d",
        "!!python/object:os.system {}",
    ],
)
def test_yaml_that_its_parser_does_not_expect(scalar: str) -> None:
    """PyYAML raises all kinds of exceptions, and none of them gets out."""
    with pytest.raises(ImportFailed):
        FORMATS["heroku"].read(f"release:\n  command: {scalar}\n")


def test_yaml_with_characters_that_it_may_not_have() -> None:
    """A binary file, such as an image, is none."""
    with pytest.raises(ImportFailed, match="is not YAML: unacceptable character #x0000"):
        FORMATS["heroku"].read("release:\0")


KEYS = [
    "services",
    "web",
    "command",
    "release",
    "deploy",
    "preDeployCommand",
    "scripts",
    "dokku",
    "predeploy",
    "projects",
    "environments",
    "name",
    "ungrouped",
    "image",
    "environment",
    "<<",
]


def nested(leaves: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Documents in flow style, which YAML and JSON share."""
    keys = st.sampled_from(KEYS).map('"{}"'.format)
    pairs = st.tuples(keys, st.deferred(lambda: documents)).map(": ".join)
    documents: st.SearchStrategy[str] = st.one_of(
        leaves,
        st.lists(st.deferred(lambda: documents), max_size=3).map(lambda each: f"[{', '.join(each)}]"),
        st.lists(pairs, max_size=3).map(lambda each: f"{{{', '.join(each)}}}"),
    )
    return documents


LEAVES = st.one_of(
    st.sampled_from(
        ['"./a $$B"', '"web"', "null", "7", "true", '""', '"\\ud800"', '"\\u0000"', "'a \"'", "~"]
    ),
    st.text(max_size=5),
)


@given(st.sampled_from(sorted(FORMATS)), st.one_of(st.text(), nested(LEAVES)), st.sampled_from(["", "web"]))
def test_no_text_does_worse_than_be_refused(name: str, text: str, service: str) -> None:
    """And what is taken is a command that the daemon can be told of."""
    read = FORMATS[name]
    try:
        found = read.read(text, service if read.has_services else "")
    except ImportFailed:
        return
    assert found.commands
    labels = [each.command.label for each in found.commands]
    assert len({*labels}) == len(labels)
    for each in found.commands:
        words = [each.command.line] if each.command.argv is None else each.command.argv
        assert each.place
        assert words[0]
        assert all("\0" not in str(word) and str(word).encode() for word in words if word)
        assert each.command.timeout is None or each.command.timeout > timedelta()


@given(st.sampled_from(sorted(path.name for path in FILES.iterdir())), st.data())
def test_no_damage_does_worse_than_be_refused(name: str, data: st.DataObject) -> None:
    """A file in which something was cut out or put in is refused, or read."""
    text = file_text(name)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 40)))
    damaged = text[:start] + data.draw(st.text(max_size=4)) + text[end:]
    read = FORMATS[recognise(name)]
    with suppress(ImportFailed):
        read.read(damaged, data.draw(st.sampled_from(["", "shop", "migrate"])) if read.has_services else "")
