"""A generated audit log, made once for each build folder through the real writer."""

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from functools import partial
from importlib.resources import files
from itertools import islice, zip_longest
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from unittest.mock import patch

from bench import generated_releases
from bench.generated_releases import EVENTS_EACH, Generated, create_time, events_of
from released.audit.log import AuditLog
from released.model.events import CommandOutput
from released.model.receipt import Receipt
from support.debian import BUILD, made_once, run

FOLDER = BUILD / "bench"
EVENTS_PER_COMMIT = 2000
AT_ONCE = 4
"""So many releases take turns: events of one are seldom neighbours in the log."""


class Clock:
    """The writer's clock while a log is made: it shows the time of the release that is being written."""

    def __init__(self) -> None:
        self._microseconds = 0

    def show(self, number: int) -> None:
        """Go to where a release is accepted, if that lies ahead."""
        self._microseconds = max(self._microseconds, int(create_time(number).timestamp() * 1_000_000))

    def time_ns(self) -> int:
        """Return the time, which goes on by half a second each time."""
        self._microseconds += 500_000
        return self._microseconds * 1000


def generated_log(releases: int) -> Path:
    """Return a log of so many releases, with EVENTS_EACH events each. It is not to be changed: copy it."""
    folder = FOLDER / f"audit-{releases}-{_form()}"
    if not folder.is_dir():
        for outdated in FOLDER.glob(f"audit-{releases}-*"):
            run(["rm", "-rf", str(outdated)])
        count = releases * EVENTS_EACH
        print(f"making an audit log of {releases:,} releases and {count:,} events", file=sys.stderr)
    return made_once(folder, partial(_make, releases)) / "audit.db"


def _form() -> str:
    """A digest of all that the content of a log depends on: the schema, and what is generated."""
    digest = hashlib.sha256()
    sources = [Path(__file__), Path(generated_releases.__file__)]
    schema = sorted(files("released.audit").joinpath("schema").iterdir(), key=lambda file: file.name)
    for source in (*sources, *schema):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


def _make(releases: int, folder: Path) -> None:
    asyncio.run(write_log(folder / "audit.db", releases))


async def write_log(path: Path, releases: int) -> None:
    """Write a log of so many releases to a file that is not there yet."""
    clock = Clock()
    began = perf_counter()
    # Real but for its clock, so that releases lie as far apart as they would.
    with patch(
        "released.audit.writer.time", SimpleNamespace(time_ns=clock.time_ns, perf_counter=perf_counter)
    ):
        audit = await AuditLog.open(path)
        try:
            events = _events(releases, clock)
            while commit := list(islice(events, EVENTS_PER_COMMIT)):
                *_, receipt = await asyncio.gather(*[append(audit, event) for event in commit])
        finally:
            await audit.close()
    seconds = perf_counter() - began
    print(f"made {receipt.sequence:,} events in {seconds:.0f} s", file=sys.stderr)


def append(audit: AuditLog, event: Generated) -> asyncio.Future[Receipt]:
    """Append a generated event as the daemon would."""
    if isinstance(event.body, CommandOutput):
        return audit.append_output(event.release_id, [(event.body, event.output)])
    return audit.append(event.release_id, event.body)


def _events(releases: int, clock: Clock) -> Iterator[Generated]:
    for first in range(0, releases, AT_ONCE):
        clock.show(first)
        some = [events_of(number) for number in range(first, min(first + AT_ONCE, releases))]
        for turn in zip_longest(*some):
            yield from filter(None, turn)
