"""GetCommandStatistics: what is asked for, and no more than the caller may see."""

from collections.abc import AsyncIterator
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from released.access import Access
from released.audit.log import AuditLog
from released.config import AccessConfig
from released.denials import Denials
from released.errors import InvalidRequest
from released.model.events import CommandFinished, CommandStarted
from released.model.patterns import TargetPattern
from released.model.rights import Right, Rights, Role
from released.model.states import CommandState
from released.service import gate, statistics
from released.service.audit import AuditService
from released.service.callers import Callers
from released.service.gate import Call, Gate
from released.service.statistics import start_microseconds
from releasephase.v1.audit_service_pb2 import (
    GetCommandStatisticsRequest,
    GetCommandStatisticsResponse,
)
from support import audit_log
from support.app import App
from support.samples import CALLER, a_command, accepted

SECOND = 1_000_000_000


@pytest.fixture
async def audit(tmp_path: Path) -> AsyncIterator[AuditLog]:
    """A log with a release of two commands for each of three targets."""
    async with audit_log.opened(tmp_path / "audit.db") as audit:
        for target in ("blog/live", "shop/live", "shop/test"):
            application, environment = target.split("/")
            commands = (a_command("migrate"), a_command("check"))
            await audit.append(
                target,
                accepted(application=application, environment=environment, commands=commands),
                *(CommandStarted(command_index=index) for index in range(2)),
                *(ended(index) for index in range(2)),
            )
        yield audit


def ended(index: int) -> CommandFinished:
    now = datetime.now(UTC)
    return CommandFinished(command_index=index, state=CommandState.SUCCEEDED, exit_code=0, end_time=now)


async def ask(
    audit: AuditLog, monkeypatch: pytest.MonkeyPatch, *targets: str, **fields: Any
) -> GetCommandStatisticsResponse:
    """What somebody is told who may read these targets."""
    rights = Rights([Right(Role.READ, tuple(map(TargetPattern.parse, targets)))])
    call = Call(CALLER, rights, "", Role.READ)
    monkeypatch.setattr(gate, "current_call", ContextVar("current_call", default=call))
    service = AuditService(audit, Gate(Access.of(AccessConfig()), Callers(), Denials(audit)))
    context: Any = None
    return await service.GetCommandStatistics(GetCommandStatisticsRequest(**fields), context)


def names(answer: GetCommandStatisticsResponse) -> list[str]:
    return [f"{each.application}/{each.environment} {each.label}" for each in answer.statistics]


@pytest.mark.parametrize(
    ("targets", "fields", "expected"),
    [
        (["*/*"], {}, ["blog/live", "shop/live", "shop/test"]),
        (["shop/*"], {}, ["shop/live", "shop/test"]),
        (["shop/*"], {"application": "blog"}, []),
        (["*/*"], {"application": "shop"}, ["shop/live", "shop/test"]),
        (["*/*"], {"environment": "live"}, ["blog/live", "shop/live"]),
        (["*/*"], {"application": "shop", "environment": "test"}, ["shop/test"]),
    ],
)
async def test_targets(
    audit: AuditLog,
    monkeypatch: pytest.MonkeyPatch,
    targets: list[str],
    fields: dict[str, str],
    expected: list[str],
) -> None:
    """Those that were asked for and may be seen, each with its commands in their order."""
    answer = await ask(audit, monkeypatch, *targets, **fields)
    assert names(answer) == [f"{target} {label}" for target in expected for label in ("migrate", "check")]
    assert not answer.truncated


async def test_long_answer_is_cut(audit: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says so; one that just fits does not."""
    monkeypatch.setattr(statistics, "MOST_STATISTICS", 5)
    answer = await ask(audit, monkeypatch, "*/*")
    assert (len(answer.statistics), answer.truncated) == (5, True)
    monkeypatch.setattr(statistics, "MOST_STATISTICS", 6)
    answer = await ask(audit, monkeypatch, "*/*")
    assert (len(answer.statistics), answer.truncated) == (6, False)


async def test_runs_since(audit: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing has run in the year 9999."""
    assert names(await ask(audit, monkeypatch, "*/*", start_time=Timestamp(seconds=253_402_300_799))) == []


@pytest.mark.parametrize(
    "time", [Timestamp(seconds=-1), Timestamp(seconds=2**62), Timestamp(nanos=-1), Timestamp(nanos=2**30)]
)
def test_time_out_of_range(time: Timestamp) -> None:
    """The field is named."""
    with pytest.raises(InvalidRequest, match="start_time: must be between 1970 and 9999"):
        start_microseconds(GetCommandStatisticsRequest(start_time=time))


async def test_statistics_of_releases(app: App) -> None:
    """With the whole daemon on a real engine: what ran, what failed, and how long it took."""
    for line in ("sleep 0.1", "exit 1", "true"):
        await app.run(line, "true")
    answer = await app.audit.GetCommandStatistics(GetCommandStatisticsRequest(application="shop"))
    first, second = answer.statistics
    assert [(each.label, each.run_count, each.failure_count) for each in (first, second)] == [
        ("command 0", 3, 1),
        ("command 1", 2, 0),
    ]
    assert first.p50.ToNanoseconds() < SECOND // 10 <= first.longest.ToNanoseconds()
    assert first.longest == first.p95
    assert not first.HasField("recent_median")
