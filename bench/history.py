"""Questions about the history, asked of the daemon's own handler and of the `sqlite3` shell."""

from collections.abc import Awaitable
from datetime import datetime, timedelta
from inspect import signature
from statistics import quantiles
from time import perf_counter
from types import SimpleNamespace
from typing import Any, NamedTuple

from grpc import StatusCode

from bench.generated_releases import create_time
from bench.rounds import NotMeasured
from bench.sqlite_shell import SqliteShell
from released.audit.log import AuditLog
from released.service.releases import ReleaseService
from releasephase.v1.release_service_pb2 import ListReleasesRequest

PAGES = 3
"""Of each question, so many are asked for, one after the other."""
PAGE_SIZE = 50


class Question(NamedTuple):
    """A filter of ListReleases, and its condition in SQL on the projections."""

    filter: str
    sql: str
    by_duration: bool = False
    """The longest first, instead of the newest."""


def _label(key: str, value: str) -> str:
    labelled = f"SELECT release_id FROM release_labels WHERE key = '{key}' AND value = '{value}'"  # noqa: S608
    return f"release_id IN ({labelled})"


def _microseconds(time: datetime) -> int:
    return int(time.timestamp() * 1_000_000)


def questions(releases: int) -> tuple[Question, ...]:
    """Return what is asked about a generated log of so many releases: what is common, and what is rare."""
    middle, late = create_time(releases // 2), create_time(releases - releases // 20)
    hour_later = middle + timedelta(hours=1)
    number = releases // 3
    shop_live = "application = 'shop' AND environment = 'live'"
    return (
        Question("", "TRUE"),
        Question("state = SUCCEEDED", "state = 'SUCCEEDED'"),
        Question("state = FAILED", "state = 'FAILED'"),
        Question("state = CANCELLED", "state = 'CANCELLED'"),
        Question("cause = OUT_OF_MEMORY", "cause = 'OUT_OF_MEMORY'"),
        Question('application = "shop"', "application = 'shop'"),
        Question('target = "shop/live"', shop_live),
        Question('target = "shop/live" AND state = FAILED', f"{shop_live} AND state = 'FAILED'"),
        Question('environment = "live" AND state = FAILED', "environment = 'live' AND state = 'FAILED'"),
        Question('caller = "deploy"', "caller_user = 'deploy'"),
        Question("caller = 1009 AND state = CANCELLED", "caller_uid = 1009 AND state = 'CANCELLED'"),
        Question('requested_by = "anna@example.org"', "requested_by = 'anna@example.org'"),
        Question('labels.team = "orders"', _label("team", "orders")),
        Question(f'labels.version = "v{number // 5}"', _label("version", f"v{number // 5}")),
        Question(
            'labels.team = "people" AND application = "desk"',
            f"{_label('team', 'people')} AND application = 'desk'",
        ),
        Question(f'image = "registry.example/shop:{number}"', f"image = 'registry.example/shop:{number}'"),
        Question(
            f'digest = "sha256:{number // 3:064x}"',
            f"image_digest = 'registry.example/app@sha256:{number // 3:064x}'",
        ),
        Question(f'create_time >= "{late.isoformat()}"', f"create_time >= {_microseconds(late)}"),
        Question(
            f'create_time >= "{middle.isoformat()}" AND create_time < "{hour_later.isoformat()}"',
            f"create_time >= {_microseconds(middle)} AND create_time < {_microseconds(hour_later)}",
        ),
        Question("state = SUCCEEDED AND outcome = NONE", "state = 'SUCCEEDED' AND outcome IS NULL"),
        Question("duration >= 30s", "duration >= 30000000"),
        Question("", "TRUE", by_duration=True),
        Question('target = "shop/live"', shop_live, by_duration=True),
        Question('application = "nothing"', "application = 'nothing'"),
    )


class Answered:
    """How long the pages of one round took, in seconds."""

    def __init__(self) -> None:
        self.pages: list[float] = []

    @property
    def total(self) -> float:
        return sum(self.pages)

    @property
    def p95(self) -> float:
        return quantiles(self.pages, n=20)[-1]

    async def time(self, asked: Awaitable[Any]) -> Any:
        """Await the answer to one page."""
        begin = perf_counter()
        answer = await asked
        self.pages.append(perf_counter() - begin)
        return answer


class HistoryHandler:
    """ListReleases of a daemon that has a log open, without gRPC around it."""

    def __init__(self, audit: AuditLog) -> None:
        parts: Any = SimpleNamespace(
            scheduler=SimpleNamespace(position=lambda _: 0), visible_targets=lambda: None
        )
        # Of all that the service knows, the list needs the log, who may see what, and places in queues.
        known: dict[str, Any] = dict.fromkeys(signature(ReleaseService).parameters, parts)
        self._service = ReleaseService(**known | {"audit": audit})
        self._context: Any = SimpleNamespace(abort=_refused)

    async def answer(self, asked: Question, answered: Answered) -> int:
        """Ask for the pages of a question; return how many releases there were on them."""
        found, token = 0, ""
        for _ in range(PAGES):
            request = ListReleasesRequest(
                filter=asked.filter,
                page_size=PAGE_SIZE,
                page_token=token,
                order_by="duration desc" if asked.by_duration else "",
            )
            page = await answered.time(self._service.ListReleases(request, self._context))
            found += len(page.releases)
            if not (token := page.next_page_token):
                break
        return found


async def _refused(code: StatusCode, details: str, _: object) -> None:
    raise NotMeasured(f"the daemon answers {code.name}: {details}")


async def answer_in_shell(shell: SqliteShell, asked: Question, answered: Answered) -> int:
    """Ask the shell for the same pages: all that is stored of each release, and of its commands."""
    found, behind = 0, ""
    for _ in range(PAGES):
        rows = await answered.time(_page(shell, asked, behind))
        found += len(rows)
        if len(rows) < PAGE_SIZE:
            break
        first, sequence, *_ = rows[-1]
        behind = f"AND ({_order(asked)}, accept_sequence) < ({first}, {sequence})"
    return found


async def _page(shell: SqliteShell, asked: Question, behind: str) -> list[list[str]]:
    # In the order of the indexes, and joined when the page is found: the shell shall be as fast as it can be.
    page = (
        f"SELECT * FROM releases WHERE ({asked.sql}) {behind} "  # noqa: S608
        f"ORDER BY {_order(asked)} DESC, accept_sequence DESC LIMIT {PAGE_SIZE}"
    )
    lines = await shell.ask(
        f"SELECT {_order(asked)}, accept_sequence, found.*, accepted.body FROM ({page}) AS found "  # noqa: S608
        "JOIN events AS accepted ON accepted.sequence = accept_sequence"
    )
    rows = [line.decode().split("|", 3) for line in lines]
    ids = ", ".join(f"'{row[2]}'" for row in rows)
    await shell.ask(f"SELECT * FROM command_runs WHERE release_id IN ({ids})")  # noqa: S608
    return rows


def _order(asked: Question) -> str:
    return "ifnull(duration, -1)" if asked.by_duration else "create_time"
