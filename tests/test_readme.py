"""The README's table of the configuration has every key with its default, and no other."""

import re
from pathlib import Path

import msgspec

from released.config import Config

PAGE = Path(__file__).parent.parent.joinpath("README.md").read_text()
TABLE = dict(re.findall(r"^\| `(\[\w+\] \w+)` \| (.*?) \|", PAGE, re.MULTILINE))


def defaults() -> dict[str, object]:
    """Every key of the configuration as the table writes it, and its default."""
    sections = msgspec.to_builtins(Config(), enc_hook=str)
    return {f"[{section}] {key}": value for section, keys in sections.items() for key, value in keys.items()}


def test_every_key_is_in_the_table_and_no_other() -> None:
    """Whoever adds or removes a key does so in the table, too."""
    assert set(TABLE) == set(defaults())


def test_defaults_are_those_of_the_code() -> None:
    """Nobody has to look them up. Some are a rule, not a value: they have no backquotes around them."""
    documented = {key: value[1:-1] for key, value in TABLE.items() if re.fullmatch("`[^`]*`", value)}
    written = {
        key: f"{value:g}" if isinstance(value, float) else str(value) for key, value in defaults().items()
    }
    rules = {"[engine] url", *(key for key in written if key.startswith("[access]"))}
    assert documented == {key: value for key, value in written.items() if key not in rules}
