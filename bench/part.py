"""What a part of the benchmark gets, and what it gives."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from bench.rounds import Figures
from bench.rows import Line, Row
from support import busybox
from support.docker_engine import Engine


class Setting(NamedTuple):
    """Where to measure, and how much."""

    engine: Engine
    rounds: int
    releases: int
    """Of the generated audit log."""

    def image(self) -> str:
        """The image of all contenders that run something: a shell, and no entrypoint."""
        return self.engine.make_image(busybox.shell_image())


class Measured(NamedTuple):
    """What was measured in one part, and what else there is to say about it."""

    lines: Sequence[Line]
    remarks: Sequence[str] = ()
    versions: Mapping[str, str] = MappingProxyType({})
    """Of each peer that was there."""


def judged(rows: Iterable[Row], figures: Mapping[str, Figures]) -> list[Line]:
    """Return all rows as they turned out."""
    return [row.judge(figures) for row in rows]
