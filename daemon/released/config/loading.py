"""Reading the configuration file, and checking it as far as that is possible without starting."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from released.config.keys import BadKey, Key, parse_path
from released.config.policy import PolicyTable, policy_problems
from released.config.registry_credentials import RegistryCredentials
from released.config.tables import AuditConfig, Config
from released.errors import ConfigError

DEFAULT_PATH = Path("/etc/released/config.toml")

SOCKET_PATH_LIMIT = 107
"""The longest path of a Unix socket in bytes, unix(7)."""

METRICS_SUFFIX = ".prom"
"""What node_exporter's textfile collector reads."""

ENGINE_URL = re.compile(r"unix:///.+|tcp://[^/:]+:[0-9]+")

_AT_PATH = re.compile(r"(?P<message>.*?)(?: - at `\$(?P<path>.*)`)?", re.DOTALL)
ENTRIES: dict[str, type] = {"policy": PolicyTable, "lock_groups": tuple[str, ...]}
"""What is below names of the operator's own, by the table that has them."""
NOT_A_TABLE = 'keys belong into [policy.default], or into a table for targets such as [policy."shop/*"]'
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<name>.*)`")


class ConfigFile:
    """The file that the configuration is read from, again and again."""

    def __init__(self, path: Path | None) -> None:
        """None stands for the default file, which may be missing."""
        self._path = path

    @property
    def path(self) -> Path | None:
        """Where it is; None while there is none."""
        return self._path

    def load(self) -> Config:
        """Read it; see `load`. Once it was there, it may not be missing: its rules are not dropped unsaid."""
        if self._path is None and os.path.exists(DEFAULT_PATH):
            self._path = DEFAULT_PATH
        return load(self._path)


def load(path: Path | None) -> Config:
    """Read the file at `path`; None stands for the default one, which may be missing.

    Raises ConfigError naming the file, the line and the key.
    """
    file = path or DEFAULT_PATH
    text = _read(file, may_be_missing=path is None)
    try:
        config = _decode(text)
        for problem in _problems(config):
            raise problem
    except BadKey as problem:
        raise problem.in_file(file, text) from problem
    except msgspec.MsgspecError as error:
        raise ConfigError(f"the configuration file {file} can't be used: {error}") from error
    return config


def _read(file: Path, *, may_be_missing: bool) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if may_be_missing:
            return ""
        raise ConfigError(f"the configuration file {file} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the configuration file {file} can't be used: {error}") from error


def _decode(text: str) -> Config:
    """Raises BadKey for a value that does not fit its key, MsgspecError for what is no TOML."""
    try:
        return msgspec.toml.decode(text, type=Config, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        # It does not name the keys of a mapping.
        for table in ENTRIES:
            if f"`$.{table}[...]" in str(error):
                _decode_entries(table, msgspec.toml.decode(text)[table])
        raise _located(str(error)) from error


def _decode_entries(table: str, entries: dict[str, Any]) -> None:
    """Raise BadKey for the first value in such a table that does not fit its key."""
    for name, entry in entries.items():
        if table == "policy" and not isinstance(entry, dict):
            raise BadKey((table, name), NOT_A_TABLE)
        try:
            msgspec.convert(entry, ENTRIES[table])
        except msgspec.ValidationError as error:
            raise _located(str(error), (table, name)) from error


def _located(message: str, within: Key = ()) -> BadKey:
    """msgspec's words, with the key that they are about."""
    parts = _AT_PATH.fullmatch(message)
    if parts is None:  # it matches anything
        raise ValueError(message)
    key = (*within, *parse_path(parts["path"] or ""))
    if unknown := _UNKNOWN_FIELD.fullmatch(parts["message"]):
        return BadKey((*key, unknown["name"]), "there is no such key")
    return BadKey(key, parts["message"])


def _decode_path(kind: type, value: object) -> object:
    """msgspec knows no paths. It adds the key to what is raised."""
    if kind is Path and isinstance(value, str) and "\0" not in value:
        return Path(value)
    raise TypeError(f"Expected a path, got {value!r}")


def _unresolved(config: Config) -> Iterator[BadKey]:
    """What stands for nothing on this host: users, groups, files."""
    try:
        _ = config.access.rules
        RegistryCredentials.at(config.registry.config).read()
    except BadKey as problem:
        yield problem
    except ConfigError as error:
        yield BadKey(("registry", "config"), str(error))


def _problems(config: Config) -> Iterator[BadKey]:
    """What is wrong with values that fit their keys."""
    if not ENGINE_URL.fullmatch(config.engine_url):
        yield BadKey(
            ("engine", "url"),
            f"it (or DOCKER_HOST) is {config.engine_url!r}: use unix:///path/to/docker.sock or tcp://host:port",
        )
    yield from _path_problems(config)
    yield from _keep_problems(config.audit)
    yield from _unresolved(config)
    yield from policy_problems(config.policy)
    yield from _group_problems(config)


def _group_problems(config: Config) -> Iterator[BadKey]:
    try:
        _ = config.groups
    except BadKey as problem:
        yield problem


def _keep_problems(audit: AuditConfig) -> Iterator[BadKey]:
    """Output goes with its events, so that it can't be kept for longer."""
    for limit in ("days", "bytes"):
        output, events = getattr(audit.keep_output, limit), getattr(audit.keep_events, limit)
        if output is not None and events is not None and output > events:
            yield BadKey(
                ("audit", "keep_output", limit),
                f"it is more than keep_events.{limit}, and output goes with its events: "
                f"use {events} at most, or keep more events",
            )


def _path_problems(config: Config) -> Iterator[BadKey]:
    metrics, registry = config.metrics.path, config.registry.config
    paths = {
        ("server", "socket"): config.server.socket,
        ("audit", "path"): config.audit.path,
        **({("metrics", "path"): metrics} if metrics else {}),
        **({("registry", "config"): registry} if registry else {}),
    }
    for key, path in paths.items():
        if not path.is_absolute():
            yield BadKey(key, f"it is {str(path)!r}: use an absolute path")
        if not path.name:
            yield BadKey(key, f"it is {str(path)!r}: name a file, not a folder")
    if metrics and metrics.suffix != METRICS_SUFFIX:
        yield BadKey(
            ("metrics", "path"),
            f"it is {str(metrics)!r}: node_exporter reads only what ends in {METRICS_SUFFIX}",
        )
    inner = config.server.inner_socket
    if (excess := len(os.fsencode(inner)) - SOCKET_PATH_LIMIT) > 0:
        yield BadKey(
            ("server", "socket"),
            f"it is {excess} bytes too long: the daemon's second socket, {inner}, "
            f"may have {SOCKET_PATH_LIMIT} bytes, the system's limit",
        )
