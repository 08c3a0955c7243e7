"""A part of the benchmark that fails, beside those that do not."""

import sqlite3
from typing import TYPE_CHECKING, cast

import aiohttp
import pytest
from bench.__main__ import measure_part
from bench.part import Measured, Setting
from bench.rows import Verdict
from bench.scenarios import PARTS

if TYPE_CHECKING:
    from support.docker_engine import Engine


@pytest.mark.parametrize("error", [sqlite3.OperationalError("disk I/O error"), aiohttp.ClientError("gone")])
def test_a_part_that_fails_says_why(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """What SQLite or the engine's connection raises becomes a row that says so, and the other parts go on."""

    def fail(_: Setting) -> Measured:
        raise error

    monkeypatch.setitem(PARTS, "idle", fail)
    (line,) = measure_part("idle", Setting(cast("Engine", None), 1, 1000)).lines
    assert (line.scenario, line.verdict, line.why) == ("idle", Verdict.NOT_MEASURED, str(error))
