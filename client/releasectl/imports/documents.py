"""Reads YAML, TOML and JSON. Whatever is wrong with a document is an ImportFailed that says where."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import yaml

from .fields import Field
from .found import ImportFailed

_TOO_DEEP = "is nested too deeply"
_MOST_KEYS = 10_000
"""In one mapping: `<<: [*a, *a]` doubles what it takes, so thirty such lines would fill the memory."""


def read_yaml(text: str) -> Field:
    """Return the one document in a YAML text: a mapping.

    Keys that are there twice are refused, as YAML 1.2 has it (section 3.2.1.3); PyYAML takes the last.
    """
    try:
        document = yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        raise ImportFailed(_marked(error)) from None
    except RecursionError:
        raise ImportFailed(_TOO_DEEP) from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, TypeError) as error:
        # PyYAML lets through what Python's functions raise of `!!int x` or of the 31st of February.
        raise ImportFailed(f"is not YAML: {_first_line(error)}") from None
    return _document(document)


def read_toml(text: str) -> Field:
    """Return a TOML text."""
    try:
        return _document(tomllib.loads(text))
    except ValueError as error:
        raise ImportFailed(f"is not TOML: {error}") from None
    except RecursionError:
        raise ImportFailed(_TOO_DEEP) from None


def read_json(text: str) -> Field:
    """Return a JSON text: an object. Keys that are there twice are refused (RFC 8259, section 4)."""
    try:
        return _document(json.loads(text, object_pairs_hook=_without_twins))
    except json.JSONDecodeError as error:
        raise ImportFailed(f"line {error.lineno}, column {error.colno}: is not JSON: {error.msg}") from None
    except ValueError as error:
        raise ImportFailed(f"is not JSON: {error}") from None
    except RecursionError:
        raise ImportFailed(_TOO_DEEP) from None


def _document(value: object) -> Field:
    if value is None or value == {}:
        raise ImportFailed("is empty")
    document = Field(value)
    document.mapping()
    return document


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ImportFailed(f"{key}: is there twice in one object")
        found[key] = value
    return found


class _Loader(yaml.SafeLoader):
    """Refuses keys that are there twice in one mapping, before `<<` brings others in."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value}: is there twice", problem_mark=key.start_mark
                )
            seen.add((key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key))
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        if len(node.value) > _MOST_KEYS:
            raise yaml.MarkedYAMLError(
                problem=f"has more than {_MOST_KEYS} keys merged in", problem_mark=node.start_mark
            )


def _marked(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return f"{where}{error.problem or error.context or 'is not YAML'}"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
