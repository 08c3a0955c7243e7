"""The README's table of the configuration has every key with its default, and every call is told."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from released.config import Config
from released.config.policy import BUILT_IN
from releasephase.v1 import (
    audit_service_pb2,
    command_service_pb2,
    daemon_service_pb2,
    release_service_pb2,
)

PAGE = Path(__file__).parent.parent.joinpath("README.md").read_text()
TABLE = dict(re.findall(r"^\| `(\[[\w.]+\] \w+)` \| (.*?) \|", PAGE, re.MULTILINE))


def test_every_page_is_in_the_index() -> None:
    """Whoever adds a page says there what it tells."""
    docs = Path(__file__).parent.parent / "docs"
    index = PAGE.partition("\n## More\n")[2]
    assert [page.name for page in sorted(docs.glob("*.md")) if f"| [docs/{page.name}]" not in index] == []


CHANGES = Path(__file__).parent.parent.joinpath("CHANGELOG.md").read_text()
SERVICES = [
    service
    for file in (release_service_pb2, command_service_pb2, daemon_service_pb2, audit_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
]


@pytest.mark.parametrize("page", [PAGE, CHANGES], ids=["README", "CHANGELOG"])
def test_services_are_told_with_all_of_their_calls(page: str) -> None:
    """Where the contract is introduced."""
    lists = re.findall(r"`(\w+Service)` \(([\w,\s]+)\)", page)
    told = {service: sorted(calls.replace(",", " ").split()) for service, calls in lists}
    assert told == {service.name: sorted(call.name for call in service.methods) for service in SERVICES}


def defaults() -> dict[str, object]:
    """Every key of the configuration as the table writes it, and its default."""
    sections = msgspec.to_builtins(Config(), enc_hook=str)
    sections["policy.default"] = msgspec.to_builtins(BUILT_IN)
    return {f"[{section}] {key}": value for section, keys in sections.items() for key, value in keys.items()}


def as_text(value: object) -> str:
    """A value as the table writes it."""
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, str) else json.dumps(value)


def test_every_key_is_in_the_table_and_no_other() -> None:
    """Whoever adds or removes a key does so in the table, too."""
    assert set(TABLE) == set(defaults())


RULES = {"[engine] url", "[access] deploy", "[access] applications"}
"""Keys whose default is a rule, not a value; those without one (the limits) are rules, too."""


def test_defaults_are_those_of_the_code() -> None:
    """Nobody has to look them up."""
    values = {key: value for key, value in defaults().items() if value is not None and key not in RULES}
    documented = {key: TABLE[key].strip("`") for key in values}
    written = {key: as_text(value) for key, value in values.items()}
    assert documented == written
