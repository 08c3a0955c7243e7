"""Queries for how long the commands of a deployment target took."""

import sqlite3
from datetime import timedelta

from released.audit.reading import Reading
from released.audit.statistics import CommandTime
from released.model.release import Target
from released.model.states import CommandState

RECENT_RELEASES = 1000
MOST_RUNS = 20_000
"""Of each target, how many of its newest releases are looked at for their commands, and runs in them."""

_COMMAND_TIMES = f"""
    SELECT label, command_runs.state, start_time, end_time
    FROM (
        SELECT release_id, accept_sequence FROM releases WHERE application = ? AND environment = ?
        ORDER BY create_time DESC, accept_sequence DESC LIMIT {RECENT_RELEASES}
    ) JOIN command_runs USING (release_id)
    WHERE start_time IS NOT NULL AND end_time IS NOT NULL
"""  # noqa: S608

_NEWEST_FIRST = "ORDER BY accept_sequence DESC, command_index LIMIT ?"


class CommandTimes:
    """Queries of runs that have ended, the newest release first. Only so many are looked at."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    async def since(self, target: Target, time: int = 0) -> list[CommandTime]:
        """The runs of a target's commands that were begun then or later, in microseconds since 1970."""
        return await self._find("start_time >= ?", target, time, MOST_RUNS)

    async def successes(self, target: Target, label: str, limit: int) -> list[CommandTime]:
        """The newest runs of a target's command that succeeded."""
        condition = "label = ? AND command_runs.state = ?"
        return await self._find(condition, target, label, CommandState.SUCCEEDED, limit)

    async def _find(self, condition: str, target: Target, *parameters: str | int) -> list[CommandTime]:
        sql = f"{_COMMAND_TIMES} AND {condition} {_NEWEST_FIRST}"
        rows = await self._reading.fetch_list(sql, (*target, *parameters))
        with self._reading.understanding():
            return [_command_time(row) for row in rows]


def _command_time(row: sqlite3.Row) -> CommandTime:
    # The clock may have been set back in between.
    duration = timedelta(microseconds=max(0, row["end_time"] - row["start_time"]))
    return CommandTime(row["label"], CommandState(row["state"]), duration)
