"""The file of metrics, as Prometheus reads it."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

SECONDS = 60
"""What the daemon gets to write it."""

Samples = dict[str, float]


def samples_in(text: str) -> Samples:
    """The value of each series, written as `name{label="value"}`; empty labels are none."""
    families = text_string_to_metric_families(text)
    return {_name(sample): sample.value for family in families for sample in family.samples}


def read(path: Path) -> Samples:
    return samples_in(path.read_text())


async def until(path: Path, fits: Callable[[Samples], bool]) -> Samples:
    """Wait until the file is there and what is in it fits."""
    async with asyncio.timeout(SECONDS):
        while not (path.exists() and fits(read(path))):  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.05)
    return read(path)


async def until_gone(path: Path) -> None:
    """Wait until the file is not there."""
    async with asyncio.timeout(SECONDS):
        while path.exists():  # noqa: ASYNC110 - a file tells nobody
            await asyncio.sleep(0.05)


def _name(sample: Sample) -> str:
    labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()) if value)
    return f"{sample.name}{{{labels}}}" if labels else sample.name
