"""The configuration that `make install` writes: every section that it has is complete, with the defaults."""

import re
import tomllib
from pathlib import Path

import msgspec

from released.config import Config, load

EXAMPLE = Path(__file__).parent.parent / "systemd/config.toml"


def test_example_is_the_default(tmp_path: Path) -> None:
    """Also when what is in comments counts."""
    uncommented = tmp_path / "config.toml"
    uncommented.write_text(re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE))
    assert load(EXAMPLE) == load(uncommented) == Config()


def test_sections_of_the_example_are_complete() -> None:
    """Nobody has to look up a key that is not there."""
    shown = tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.MULTILINE))
    known = msgspec.to_builtins(Config(), enc_hook=str)
    assert {name: set(section) for name, section in shown.items()} == {
        name: set(known[name]) for name in shown
    }
