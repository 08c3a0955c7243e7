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


RULES = {"[engine] url", "[access] deploy", "[access] applications"}
"""Keys whose default is a rule, not a value."""


def as_written(value: object) -> str:
    """A value as the table has it."""
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None or value == () else str(value)


def test_defaults_are_those_of_the_code() -> None:
    """Nobody has to look them up."""
    documented = {key: default.strip("`") for key, default in TABLE.items() if key not in RULES}
    assert documented == {key: as_written(value) for key, value in defaults().items() if key not in RULES}
