"""Keys of the configuration file: what they are called in messages, and in which line they are."""

import io
import re
import tomllib
from typing import Any

from released.errors import ConfigError

Key = tuple[str | int, ...]
"""The way to a value: names of tables and keys, indices in lists."""

_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_BARE = re.compile(r"[A-Za-z0-9_-]+")


class BadKey(Exception):
    """The value of a key can't be used; the message says why, and what to do."""

    def __init__(self, key: Key, message: str) -> None:
        super().__init__(message)
        self.key = key
        self.message = message

    def in_file(self, file: object, text: str) -> ConfigError:
        """The error that names the file, the line and the key."""
        line = line_of(text, self.key)
        place = f"{file}, line {line}" if line else str(file)
        return ConfigError(f"{place}: {name_of(self.key)}: {self.message}")


def name_of(key: Key) -> str:
    """`[server] socket`, `[access] deploy[0].group`."""
    table, *rest = key
    names = "".join(f"[{step}]" if isinstance(step, int) else f".{_quoted(step)}" for step in rest)
    return f"[{table}] {names.removeprefix('.')}".rstrip()


def line_of(text: str, key: Key) -> int | None:
    """The line, from 1 on, where a key is set; if it is not, where the nearest thing around it begins.

    None if nothing of it is there.
    """
    begins = 1
    found, depth = None, 0
    # By "\n" alone, as TOML has it: str.splitlines knows more ends of lines.
    lines = io.StringIO(text).readlines()
    for number in range(1, len(lines) + 1):
        try:
            data = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # in the middle of a value
        if (reached := _reached(data, key)) > depth:
            found, depth = begins, reached
        begins = number + 1
    return found


def parse_path(path: str) -> Key:
    """The key that msgspec names as, for example, `$.access.deploy[0].group`."""
    return tuple(int(index) if index else name for name, index in _STEP.findall(path))


def _reached(data: Any, key: Key) -> int:
    """How many steps of the way to a key there are."""
    for depth, step in enumerate(key):
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(key)


def _quoted(name: str) -> str:
    return name if _BARE.fullmatch(name) else f'"{name}"'
