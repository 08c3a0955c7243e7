"""The configuration that counts: asked at the time of need, changed in one place."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from released.config.keys import name_of
from released.config.tables import Config

logger = logging.getLogger(__name__)

AT_START: Final[frozenset[tuple[str, str]]] = frozenset(
    {("server", "socket"), ("engine", "url"), ("audit", "path"), ("audit", "reserve")}
)
"""Keys that count from the start of the daemon to its end. All others count at once."""

Listener = Callable[[Config], None]
"""Told of a configuration that counts from now on."""


class Change(NamedTuple):
    """What differs in a configuration that was read again, as `[table] key`, in order."""

    changed: tuple[str, ...]
    """What counts from now on."""
    at_restart: tuple[str, ...]
    """What counts only when the daemon is started again."""


class Configuration:
    """Holds the configuration that counts; only `replace` and `refuse` change it.

    Whoever needs a value asks `current` for it each time; whoever has to act on a change listens.
    """

    def __init__(self, config: Config) -> None:
        self._current = config
        self.at_restart: tuple[str, ...] = ()
        """What was read and counts only when the daemon is started again, as `[table] key`."""
        self.refusal = ""
        """Why what was read for the last time can't be used, if it can't."""
        self._listeners: list[Listener] = []

    @property
    def current(self) -> Config:
        """What counts now: a value that does not change."""
        return self._current

    def listen(self, listener: Listener) -> None:
        """Tell somebody of each change, as soon as it counts."""
        self._listeners.append(listener)

    def compare(self, loaded: Config) -> Change:
        """Say what would change, and what would not before the next start."""
        keys = list(_different(self._current, loaded))
        return Change(
            tuple(name_of(key) for key in keys if key not in AT_START),
            tuple(name_of(key) for key in keys if key in AT_START),
        )

    def refuse(self, why: str) -> None:
        """Take note of one that can't be used: what was before stays."""
        self.refusal = why

    def replace(self, loaded: Config) -> None:
        """Let a configuration count, but for the keys that count from the start, and tell everybody."""
        self.at_restart, self.refusal = self.compare(loaded).at_restart, ""
        self._current = _keeping(self._current, loaded)
        for listener in self._listeners:
            try:
                listener(self._current)
            except Exception:
                # A defect of one listener is no reason to leave the others with what was before.
                logger.exception("unexpected error in a listener of the configuration")


def _different(old: Config, new: Config) -> Iterator[tuple[str, str]]:
    """The keys whose values differ: of a table with names of the operator's own, whole entries."""
    for table in old.__struct_fields__:
        before, after = (_entries(getattr(config, table)) for config in (old, new))
        for name in dict.fromkeys([*before, *after]):
            if before.get(name) != after.get(name):
                yield (table, name)


def _entries(table: Any) -> dict[str, Any]:
    return table if isinstance(table, dict) else msgspec.structs.asdict(table)


def _keeping(old: Config, new: Config) -> Config:
    """The new configuration, with the old values of what counts from the start."""
    for table, name in AT_START:
        kept = {name: getattr(getattr(old, table), name)}
        with_kept = msgspec.structs.replace(getattr(new, table), **kept)
        new = msgspec.structs.replace(new, **{table: with_kept})
    return new
