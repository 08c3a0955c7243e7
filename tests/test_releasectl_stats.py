"""The verb `stats` as a process of its own, against a scripted service."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict
from google.protobuf.timestamp_pb2 import Timestamp

from releasectl.stats import trend
from releasephase.v1.audit_service_pb2 import (
    CommandStatistics,
    GetCommandStatisticsRequest,
    GetCommandStatisticsResponse,
)
from support.command_line import releasectl
from support.scripted_service import ScriptedService, serve

MIGRATE = CommandStatistics(
    application="shop",
    environment="live",
    label="database migrations",
    run_count=12,
    failure_count=1,
    p50=Duration(seconds=70),
    p95=Duration(seconds=95),
    longest=Duration(seconds=3600),
    recent_median=Duration(seconds=90),
    earlier_median=Duration(seconds=50),
)
NEW = CommandStatistics(application="shop", environment="live", label="new", run_count=1)


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[ScriptedService]:
    async with serve(tmp_path / "released.sock") as service:
        yield service


async def test_table(service: ScriptedService) -> None:
    """What nobody knows yet is a hyphen."""
    answer = GetCommandStatisticsResponse(statistics=[MIGRATE, NEW], truncated=True)
    service.answer("GetCommandStatistics", answer)
    result = await releasectl(service.socket, "stats", "shop/live", "--since", "2026-01-31T00:00:00Z")
    assert result.exit_code == 0
    assert result.stdout.decode().splitlines() == [
        "TARGET     COMMAND              RUNS  FAILED  P50    P95    LONGEST  TREND",
        "shop/live  database migrations  12    1       1m10s  1m35s  1h       ▲ 1.8x",
        "shop/live  new                  1     -       -      -      -        -",
    ]
    assert result.stderr == "there are more: ask for one application, or one of its environments\n"
    since = Timestamp()
    since.FromJsonString("2026-01-31T00:00:00Z")
    (request,) = service.requests
    assert request == GetCommandStatisticsRequest(application="shop", environment="live", start_time=since)


async def test_json(service: ScriptedService) -> None:
    """The contract's message; without a target it is asked for all."""
    answer = GetCommandStatisticsResponse(statistics=[MIGRATE])
    service.answer("GetCommandStatistics", answer)
    result = await releasectl(service.socket, "stats", "--json")
    assert ParseDict(json.loads(result.stdout), GetCommandStatisticsResponse()) == answer
    assert service.requests == [GetCommandStatisticsRequest()]


async def test_nothing_has_run(service: ScriptedService) -> None:
    """That is said."""
    service.answer("GetCommandStatistics", GetCommandStatisticsResponse())
    result = await releasectl(service.socket, "stats", "shop")
    assert (result.exit_code, result.stderr) == (0, "no command has run\n")


@pytest.mark.parametrize(
    ("recent", "earlier", "text"),
    [
        (18, 10, "▲ 1.8x"),
        (10, 18, "▼ 0.56x"),
        (12, 10, "▲ 1.2x"),
        (119, 100, "="),
        (84, 100, "="),
        (83, 100, "▼ 0.83x"),
        (5, 0, "-"),
    ],
)
def test_trend(recent: int, earlier: int, text: str) -> None:
    """From 1.2 times on it is one, in either direction."""
    medians = {"recent_median": Duration(seconds=recent), "earlier_median": Duration(seconds=earlier)}
    assert trend(CommandStatistics(**medians)) == text  # type: ignore[arg-type]
