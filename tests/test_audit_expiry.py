"""What has expired, while releases are accepted between the queries that find it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from sqlite3 import Row
from typing import Any, cast

import pytest

from released.audit.expiry import Expiry
from released.audit.pool import Pool
from released.config import Keep
from support.past import Past, past, release_id


class Interrupted:
    """Connections that let a release run when they have answered so many queries, or begin at least."""

    def __init__(self, log: Past, queries: int, *, ends: bool) -> None:
        self._log = log
        self._ends = ends
        self.left = queries

    async def fetch(self, sql: str, parameters: Sequence[Any]) -> list[Row]:
        rows = await self._log.audit._scans.fetch(sql, parameters)
        self.left -= 1
        if self.left == 0:
            self._log.days_ago(0)
            await self._log.begin(2, b"stays")
            if self._ends:
                await self._log.end(2)
        return rows


@pytest.mark.parametrize(
    ("keep", "ends"), [(Keep(bytes=1), False), (Keep(days=30), False), (Keep(days=30), True)]
)
@pytest.mark.parametrize("what", ["output", "events"])
async def test_release_that_is_accepted_meanwhile_is_kept(
    tmp_path: Path, what: str, keep: Keep, ends: bool
) -> None:
    """After whichever of the queries it comes, however small the limit is, and also if it ends at once."""
    for queries in range(1, 20):
        async with past(tmp_path / f"{queries}.db") as log:
            log.days_ago(100)
            await log.run(1, b"old")
            pool = Interrupted(log, queries, ends=ends)
            expired = await getattr(Expiry(cast(Pool, pool)), what)(keep, datetime.now(UTC))
            if pool.left > 0:
                break  # there were no more of them
            accepted = await log.audit.query.release(release_id(2))
            assert accepted is not None
            assert expired is not None
            assert expired.through_sequence < accepted.accept_sequence
    assert queries > 3
