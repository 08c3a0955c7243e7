"""The log that the benchmark measures on is one that the daemon could have written."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from bench.generated_log import write_log
from bench.generated_releases import EVENTS_EACH, LABELS
from bench.scenarios.audit import read_bare

from support.audit_log import problems_of

RELEASES = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated")


@pytest.fixture
async def log(folder: Path) -> Path:
    """A log of some releases, made once."""
    path = folder / "audit.db"
    if not path.exists():
        await write_log(path, RELEASES)
    return path


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(sql).fetchall()
    finally:
        connection.close()


async def test_a_generated_log_is_sound(log: Path) -> None:
    """Its chain holds, and its projections are what its events add up to."""
    assert problems_of(log) == []


async def test_a_generated_log_has_what_was_asked_for(log: Path) -> None:
    """So many releases and events, each release ended, of many targets, with output small and large."""
    assert rows(log, "SELECT count(*) FROM events") == [(RELEASES * EVENTS_EACH,)]
    assert rows(log, "SELECT count(*) FROM releases WHERE end_time IS NOT NULL") == [(RELEASES,)]
    assert rows(log, "SELECT count(*) FROM command_runs") == [(RELEASES * len(LABELS),)]
    states = {state for (state,) in rows(log, "SELECT DISTINCT state FROM releases")}
    assert states == {"SUCCEEDED", "FAILED", "CANCELLED"}
    [(targets,)] = rows(log, "SELECT count(DISTINCT application || environment) FROM releases")
    assert targets > 20
    [(least, most)] = rows(log, "SELECT min(output_bytes), max(output_bytes) FROM events")
    assert least < 200
    assert most > 20_000


async def test_the_same_parameters_give_the_same_log(log: Path, tmp_path: Path) -> None:
    """To the last digest: who measures again measures the same."""
    await write_log(tmp_path / "again.db", RELEASES)
    newest = "SELECT sequence, hex(digest) FROM events ORDER BY sequence DESC LIMIT 1"
    assert rows(tmp_path / "again.db", newest) == rows(log, newest)


async def test_the_peer_of_verifying_reads_all_of_the_log(log: Path) -> None:
    """Each event once, in as many processes as there are CPUs."""
    assert await read_bare(log) == RELEASES * EVENTS_EACH
