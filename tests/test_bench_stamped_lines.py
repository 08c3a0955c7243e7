"""The lines that tell when they were written: only what all arrived, in order and at their pace, counts."""

import asyncio
import time
from collections.abc import Iterator

import pytest
from bench.bare_container import BareContainer
from bench.engine_calls import BareEngine
from bench.rounds import NotMeasured
from bench.stamped_lines import LINES, PER_SECOND, WRITER, Arrivals, bash_image

from support.docker_engine import Engine

LATE = 0.25
"""Seconds that the lines here say that they were on their way, and a little more."""


def written(count: int = LINES, seconds: float = LINES / PER_SECOND) -> Iterator[bytes]:
    """Lines that were written evenly over so many seconds, the last of them LATE ago."""
    begin = time.time() - LATE - seconds
    for line in range(count):
        yield f"{begin + seconds * (line + 1) / count:.6f} line {line}\n".encode()


def arrived(*pieces: bytes) -> Arrivals:
    arrivals = Arrivals()
    for piece in pieces:
        arrivals.take(piece)
    return arrivals


def test_each_line_counts_from_its_own_time() -> None:
    """Whatever pieces they come in, also when a piece ends within a line."""
    text = b"".join(written())
    pieces = [text[start : start + 1000] for start in range(0, len(text), 1000)]
    median, p99 = arrived(*pieces).percentiles()
    assert median > LATE + LINES / PER_SECOND * 0.45
    assert p99 > median > LATE


@pytest.mark.parametrize(
    "pieces",
    [
        list(written(LINES - 1)),
        [*written(), b"1.0 begun"],
        list(written())[::-1],
        list(written(seconds=1.2 * LINES / PER_SECOND)),
    ],
    ids=["one is missing", "the last has no end", "backwards", "too slow"],
)
def test_what_was_not_done_does_not_count(pieces: list[bytes]) -> None:
    """Neither fewer lines, nor lines out of order, nor lines that were written at another pace."""
    with pytest.raises(NotMeasured):
        arrived(*pieces).percentiles()


async def test_the_writer_keeps_its_pace_in_a_container(engine: Engine) -> None:
    """All lines arrive through a bare attachment, and the container ends with 0 and is gone."""
    image, arrivals = await asyncio.to_thread(bash_image, engine), Arrivals()
    async with BareEngine(engine.url, image) as bare:
        async with BareContainer.created(bare, image, *WRITER) as container:
            await container.follow(arrivals.take)
            assert await container.wait() == 0
        median, p99 = arrivals.percentiles()
    assert 0 < median <= p99
    assert container.id not in {
        each["Id"] for each in engine.http.json("GET", "/containers/json", {"all": "1"})
    }
